# Tries to leave the sandbox with what a shell has. One line a probe: its name and "held" or "ESCAPED".
# Given by the test: targets.env with PORT (a listener of the host), SOCKET, SECRET_FILE, OTHER_PAYLOAD, HOST_PID.
. ./targets.env

held() { printf '%s\theld\n' "$1"; }
escaped() { printf '%s\tESCAPED %s\n' "$1" "$2"; }
# refused NAME COMMAND…: holds when the command fails.
refused() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1 < /dev/null); then escaped "$name" "$said"; else held "$name"; fi
}

refused "read /etc/shadow" cat /etc/shadow
refused "read the host's /etc/passwd accounts" grep -q '^daemon:' /etc/passwd
refused "list /root" ls /root
refused "list /home" ls /home
refused "read a secret of the server by its path" cat "$SECRET_FILE"
refused "read another payload" cat "$OTHER_PAYLOAD/secret"
refused "write into another payload" touch "$OTHER_PAYLOAD/mark"
refused "read the server's environment" cat "/proc/$HOST_PID/environ"
refused "find the server's secret in any environment" grep -qaz FAIRLEAD_SECRET /proc/[0-9]*/environ
refused "reach the host through a process's root" sh -c 'cat /proc/[0-9]*/root/etc/shadow'
refused "signal the server" kill -0 "$HOST_PID"
refused "open the docker socket" test -e /var/run/docker.sock
refused "open a socket file of the host" test -e "$SOCKET"
refused "reach a listener of the host on 127.0.0.1" bash -c "exec 9<>/dev/tcp/127.0.0.1/$PORT"
refused "reach a listener of the host on localhost" bash -c "exec 9<>/dev/tcp/localhost/$PORT"
refused "reach the metadata address" timeout 2 bash -c 'exec 9<>/dev/tcp/169.254.169.254/80'
refused "reach an address outside" timeout 2 bash -c 'exec 9<>/dev/tcp/192.0.2.1/80'
refused "resolve a name" getent hosts example.com
refused "have a network device" grep -qv -e Inter -e face -e ' lo:' /proc/net/dev
refused "write to /" touch /mark
refused "write to /usr" touch /usr/mark
refused "write to /etc" touch /etc/mark
refused "write to /dev" touch /dev/mark
refused "write to a kernel setting" sh -c 'echo x > /proc/sys/kernel/hostname'
refused "write to a kernel trigger" sh -c 'echo h > /proc/sysrq-trigger'
refused "become root with su" su root -c true
refused "become root with sudo" sudo -n true
refused "be root" test "$(id -u)" = 0
refused "hold a capability" sh -c "! grep -q '^CapEff:[[:space:]]*0*\$' /proc/self/status"
refused "make a block device" mknod ./device b 8 0
refused "make a character device" mknod ./device c 1 1
refused "mount a file system" mount -t tmpfs tmpfs /tmp
refused "unmount /usr" umount /usr
refused "make a user namespace" unshare --user true
refused "make a mount namespace" unshare --mount true
refused "make a network namespace" unshare --net true
refused "enter the host's namespaces" nsenter --target 1 --mount --net true
refused "raise a limit" bash -c 'ulimit -f unlimited'
refused "raise its priority" renice -n -5 -p $$
refused "change the clock" date -s 2001-01-01
refused "change the host name" hostname owned
refused "see the control groups" test -e /sys/fs/cgroup
refused "see the disks" sh -c 'ls /dev/vda* /dev/sda* /dev/nvme* | grep .'
