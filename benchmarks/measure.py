"""Processor time and memory of calls, and statistics of results."""

import ctypes
import gc
import multiprocessing
import statistics
import time
from itertools import product

import torch


def cpu_seconds(call, repeats=1):
    """The least processor time, in which other programs do not count."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def median_ms(calls, repeats, longest=25):
    """The median processor time of calls that take turns, after a warm-up."""
    times, start = [], time.process_time()
    for _ in range(repeats + 1):
        times.append([1000 * cpu_seconds(call) for call in calls])
        if len(times) > 1 and time.process_time() - start > longest:
            break
    return [statistics.median(t) for t in zip(*times[1:], strict=True)]


def resident(field='VmRSS'):
    """MiB of this process as Linux counts it: now, or at most (VmHWM)."""
    with open('/proc/self/status') as file:
        (line,) = [line for line in file if line.startswith(field)]
    return int(line.split()[1]) / 1024


def return_freed_memory():
    """Makes the allocator give back at once what is freed."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, 65536)  # M_MMAP_THRESHOLD
    libc.malloc_trim(0)


def added_mib(call):
    """MiB that a call needs at most beyond what was there."""
    return_freed_memory()
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # Resets VmHWM.
    before = resident()
    call()
    return resident('VmHWM') - before


def in_process(call):
    """The result of a call in a fork of this process, which must be fresh.

    PyTorch refuses a backward pass after a fork if there was one before.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context('fork')
    child = context.Process(target=lambda: sender.send(call()))
    child.start()
    sender.close()
    out = receiver.recv()
    child.join()
    return out


def p_value(differences):
    """Two-sided permutation test: signs of paired differences are flipped."""
    d = torch.tensor(differences, dtype=torch.double)
    if len(d) <= 12:
        sign = torch.tensor(list(product((1.0, -1.0), repeat=len(d))))
    else:
        generator = torch.Generator().manual_seed(0)
        sign = torch.randint(2, (20000, len(d)), generator=generator) * 2.0 - 1
        sign[0] = 1.0
    means = (sign.double() @ d / len(d)).abs()
    return float((means >= d.mean().abs() - 1e-12).double().mean())


def holm(p_values):
    """Corrects p-values, by name, for their number."""
    out, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.get)):
        largest = max(largest, (len(p_values) - rank) * p_values[name])
        out[name] = min(1.0, largest)
    return out


def ranks(values):
    """The rank of each name by its value, 1 for the largest; ties share."""
    return {
        name: sum(v > value for v in values.values())
        + (sum(v == value for v in values.values()) + 1) / 2
        for name, value in values.items()
    }
