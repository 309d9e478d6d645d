# Makes system calls that a sandbox must refuse, with the numbers of x86-64. One line a call: its name and "held" or "ESCAPED".
use strict;
use warnings;
use POSIX ();

my %refusals = (POSIX::EPERM() => "EPERM", POSIX::ENOSYS() => "ENOSYS", 97 => "EAFNOSUPPORT", 94 => "ESOCKTNOSUPPORT");
$| = 1;

sub probe {
    my ($name, @call) = @_;
    $! = 0;
    my $result = syscall($call[0], map { $_ } @call[1 .. $#call]);
    my $code = $! + 0;
    # A clone that works comes back twice.
    POSIX::_exit(0) if $result == 0 && $name =~ /^clone/;
    my $held = $result == -1 && exists $refusals{$code};
    print "$name\t", ($held ? "held" : "ESCAPED result $result errno $code"), "\n";
}

my $buffer = "\0" x 256;
my $path = "/work\0";
my $type = "tmpfs\0";

probe("ptrace", 101, 0, 0, 0, 0);
probe("process_vm_readv", 310, 1, $buffer, 1, $buffer, 1, 0);
probe("process_vm_writev", 311, 1, $buffer, 1, $buffer, 1, 0);
probe("mount", 165, $type, $path, $type, 0, $buffer);
probe("umount2", 166, $path, 2);
probe("pivot_root", 155, $path, $path);
probe("chroot", 161, $path);
probe("open_tree", 428, -100, $path, 0);
probe("fsopen", 430, $type, 0);
probe("unshare of users", 272, 0x10000000);
probe("unshare of mounts", 272, 0x00020000);
probe("setns", 308, 0, 0);
probe("clone into a user namespace", 56, 0x10000000 | 17, 0, 0, 0, 0);
probe("clone into a network namespace", 56, 0x40000000 | 17, 0, 0, 0, 0);
probe("clone3", 435, $buffer, 88);
probe("keyctl", 250, 0, -3, 0);
probe("add_key", 248, $type, $type, $buffer, 1, -3);
probe("bpf", 321, 5, $buffer, 120);
probe("perf_event_open", 298, $buffer, 0, -1, -1, 0);
probe("userfaultfd", 323, 0);
probe("io_uring_setup", 425, 4, $buffer);
probe("kexec_load", 246, 0, 0, $buffer, 0);
probe("init_module", 175, $buffer, 1, $path);
probe("open_by_handle_at", 304, -100, $buffer, 0);
probe("name_to_handle_at", 303, -100, $path, $buffer, $buffer, 0);
probe("pidfd_getfd", 438, 0, 0, 0);
probe("settimeofday", 164, $buffer, $buffer);
probe("reboot", 169, 0xfee1dead, 672274793, 0x89abcdef, $buffer);
probe("syslog", 103, 3, $buffer, 256);
probe("personality", 135, 0x0040000);
probe("TIOCSTI", 16, 0, 0x5412, $buffer);
probe("TIOCLINUX", 16, 0, 0x541c, $buffer);
probe("a call of the x32 ABI", 0x40000000 | 39);
probe("a netlink socket", 41, 16, 3, 0);
probe("a vsock socket", 41, 40, 1, 0);
probe("a kernel crypto socket", 41, 38, 5, 0);
probe("a packet socket", 41, 17, 3, 0x300);
probe("a raw socket", 41, 2, 3, 1);
probe("a bluetooth socket", 41, 31, 3, 0);
