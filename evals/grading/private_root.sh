# A file system of our own: read-only views of what Python needs, an empty /tmp, a new /proc; then the command.
# usage: sh private_root.sh ROOT "DIR DIR ..." COMMAND...; run as root of a new mount and process namespace.
set -e
root=$1 dirs=$2
shift 2
mount --make-rprivate / 2>/dev/null || true
mount -t tmpfs -o size=1m,mode=755 none "$root"
for dir in $dirs; do
  if [ -h "$dir" ]; then ln -s "$(readlink "$dir")" "$root$dir"; continue; fi
  mkdir -p "$root$dir"
  mount --rbind "$dir" "$root$dir"
  mount -o remount,bind,ro "$root$dir"
done
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/.old"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64m,mode=1777 none "$root/tmp"
for device in null zero urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
cd "$root"
pivot_root . .old
cd /tmp
umount -l /.old
mount -o remount,bind,ro /
exec "$@"
