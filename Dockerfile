# The gateway alone (the last stage: `docker build .`), with the built-in model (--target local), or the web app
# (--target ui). What is installed is pinned with hashes in deploy/locks, made by `make lock`. See docs/containers.md.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/pir/bin:$PATH \
    PYTHONUNBUFFERED=1

FROM base AS build
# With a fixed date the byte code names hashes of its source in place of times: the same files come out of every build.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    SOURCE_DATE_EPOCH=1600000000
WORKDIR /src
COPY deploy/locks /locks
RUN python -m venv --without-pip /opt/pir

FROM build AS wheel
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --no-deps --requirement /locks/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY pir_serve pir_serve
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM build AS core-files
RUN pip --python /opt/pir/bin/python install --require-hashes --no-deps --requirement /locks/core.txt
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/pir/bin/python install --no-index --no-deps /wheels/*.whl

FROM build AS local-files
# PyTorch for CPUs is not on the default index, whose own takes ten times the space.
ARG PIP_EXTRA_INDEX_URL
RUN pip --python /opt/pir/bin/python install --require-hashes --no-deps --requirement /locks/local.txt
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/pir/bin/python install --no-index --no-deps /wheels/*.whl

FROM build AS ui-files
RUN pip --python /opt/pir/bin/python install --require-hashes --no-deps --requirement /locks/ui.txt
COPY --from=wheel /wheels /wheels
COPY evals /opt/pir/checkout/evals
COPY ui /opt/pir/checkout/ui
RUN pip --python /opt/pir/bin/python install --no-index --no-deps /wheels/*.whl

FROM base AS runtime
RUN groupadd --gid 10001 pir \
 && useradd --uid 10001 --gid pir --home-dir /data --no-create-home --shell /usr/sbin/nologin pir \
 && install --directory --owner=pir --group=pir --mode=700 /data
ENV HOME=/data
WORKDIR /data
VOLUME /data
USER 10001:10001
ENTRYPOINT ["pir"]

FROM runtime AS gateway
ENV PIR_HOST=0.0.0.0 \
    XDG_DATA_HOME=/data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('PIR_PORT', '8000') + '/health', timeout=4)"]
CMD ["serve"]

FROM gateway AS local
ENV OMP_NUM_THREADS=1
COPY --from=local-files /opt/pir /opt/pir

FROM runtime AS ui
ENV PYTHONPATH=/opt/pir/checkout
COPY --from=ui-files /opt/pir /opt/pir
EXPOSE 7860
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860', timeout=4)"]
CMD ["ui", "--help"]

FROM gateway AS core
COPY --from=core-files /opt/pir /opt/pir
