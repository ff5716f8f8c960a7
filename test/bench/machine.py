"""What /proc tells: CPU time and memory of processes, and how busy the machine is with other things."""

import os
import re
import resource
import time

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def read(path):
    """The text of a file of /proc, or nothing when its process has just ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid):
    """This process and all below it."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        after_name = read(f"/proc/{name}/stat").rpartition(")")[2].split()
        if after_name:
            children.setdefault(int(after_name[1]), []).append(int(name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_ns(pids):
    """CPU time used by all threads of these processes, to the nanosecond."""
    total = 0
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except FileNotFoundError:
            continue
        for task in tasks:
            spent = read(f"/proc/{pid}/task/{task}/schedstat").split()
            total += int(spent[0]) if spent else 0
    return total


def user_share(pids, before=(0, 0)):
    """((user, system) ticks of these processes, the share of user time since before)."""
    fields = [read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in pids]
    user, system = (sum(int(each[at]) for each in fields if each) for at in (11, 12))
    spent = user - before[0], system - before[1]
    return (user, system), spent[0] / max(1, sum(spent))


def memory_bytes(pids):
    """(PSS, the part of it that is no file's) of these processes; a page that several share counts once."""
    pss = own = 0
    for pid in pids:
        found = dict(re.findall(r"^(Pss\w*):\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup"), re.M))
        pss += int(found.get("Pss", 0)) * 1024
        own += (int(found.get("Pss_Anon", 0)) + int(found.get("Pss_Shmem", 0))) * 1024
    return pss, own


def busy_ns():
    """CPU time the whole machine has used, and what the host took away from it."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, read("/proc/stat").split()[1:9])
    return (user + nice + system + irq + softirq) * TICK_NS + steal * TICK_NS


def own_ns():
    """CPU time of this process and of its children that have ended."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return int(sum(t.ru_utime + t.ru_stime for t in times) * 1e9)


def wait_quiet(cores, at_most_s):
    """Wait until the machine uses less than this many CPUs, but not for ever. Return what it uses."""
    give_up = time.monotonic() + at_most_s
    while True:
        begin_ns, begin = busy_ns(), time.monotonic()
        time.sleep(0.4)
        used = (busy_ns() - begin_ns) / 1e9 / (time.monotonic() - begin)
        if used < cores or time.monotonic() > give_up:
            return used


class Watch:
    """CPU time of some processes, and of everybody who is not ours, while it is open."""

    def __init__(self, measured, helpers):
        self.measured = measured
        self.helpers = helpers

    def __enter__(self):
        self.ticks, _ = user_share(self.measured)
        self.begin = (cpu_ns(self.measured), self.ours(), busy_ns(), time.monotonic())
        return self

    def ours(self):
        return cpu_ns(self.measured) + cpu_ns(self.helpers) + own_ns()

    def __exit__(self, *_):
        measured, ours, busy, at = self.begin
        wall_ns = (time.monotonic() - at) * 1e9
        self.cpu_ns = cpu_ns(self.measured) - measured
        self.user_ns = self.cpu_ns * user_share(self.measured, self.ticks)[1]
        self.cores = self.cpu_ns / wall_ns
        self.foreign = max(0.0, (busy_ns() - busy - (self.ours() - ours)) / wall_ns)


def describe():
    """Lines about the machine."""
    model = re.search(r"^model name\s*: (.*)", read("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", read("/proc/meminfo"), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"', read("/etc/os-release"), re.M)
    return {
        "processor": f"{model[1] if model else os.uname().machine}, {os.cpu_count()} CPUs",
        "memory": f"{int(memory[1]) / 1048576:.1f} GiB" if memory else "?",
        "system": f"{system[1] if system else '?'}, kernel {os.uname().release}",
    }
