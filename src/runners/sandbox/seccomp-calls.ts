/** Syscall numbers as [x86-64, arm64]; null where the architecture has no such call. From the kernel's unistd tables. */
export type CallNumbers = readonly [x64: number, arm64: number | null];

/** Calls that answer EPERM: other processes' memory, mounts, namespaces, kernel state, keys, clocks, NUMA policy. */
export const refusedCalls: Readonly<Record<string, CallNumbers>> = {
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  move_mount: [429, 429],
  open_tree: [428, 428],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  unshare: [272, 97],
  setns: [308, 268],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  syslog: [103, 116],
  acct: [163, 89],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  adjtimex: [159, 171],
  clock_adjtime: [305, 266],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  vhangup: [153, 58],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  personality: [135, 92],
  lookup_dcookie: [212, 18],
  modify_ldt: [154, null],
  iopl: [172, null],
  ioperm: [173, null],
  fanotify_init: [300, 262],
  memfd_secret: [447, 447],
  set_mempolicy: [238, 237],
  mbind: [237, 235],
  move_pages: [279, 239],
  migrate_pages: [256, 238],
};

/**
 * Calls that answer ENOSYS, so that the C library falls back to calls whose arguments a filter can read. io_uring would
 * open sockets past the filter (ioi/isolate 2.6).
 */
export const absentCalls: Readonly<Record<string, CallNumbers>> = {
  clone3: [435, 435],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
};

export const clone: CallNumbers = [56, 220];
export const ioctl: CallNumbers = [16, 29];
export const socket: CallNumbers = [41, 198];
