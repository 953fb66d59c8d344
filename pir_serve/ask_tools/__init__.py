"""The client's question tool: an ask of the model becomes a call of it, and its output the user's words again.

    tool = recognise(request["tools"])                  # or None: ask in the content
    arguments = tool.arguments(question)                # JSON for that tool's own schema, or None: ask in the content
    question_of(call["function"]["arguments"])          # the question again, from a transcript
    unwrap(message["content"], question)                # Answer(text="About 3.") or Answer(None, "timed_out")

Pure: no I/O, and nothing that a client sends makes it raise, but for `RequestError` on a malformed tool. Which shapes
clients really use is in the tests.
"""

from pir_serve.ask_tools.answers import Answer, Declined, question_of, unwrap
from pir_serve.ask_tools.tools import DEFAULT_NAMES, MARK, AskTool, recognise

__all__ = ["DEFAULT_NAMES", "MARK", "Answer", "AskTool", "Declined", "question_of", "recognise", "unwrap"]
