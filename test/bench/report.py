"""Turn the figures of all rounds into a Markdown table and a JSON file."""

import json
import os
import statistics
import time

# key, heading, digits, is less better (None: not compared)
PEERS = ("nginx", "haproxy")
LOAD = [("cpu_us", "CPU µs/request", 2, True), ("user_us", "of it in user space", 2, None), ("per_second", "requests/s", 0, False), ("p50_us", "p50 µs", 0, True),
        ("p99_us", "p99 µs", 0, True), ("cores", "CPUs used", 2, None)]
IDLE = [("grown", "bytes/connection", 0, True), ("all_in", "with what its start reserves", 0, True),
        ("pss_grown", "growth of PSS, files too", 0, True)]

READING = """\
Cells are medians over the rounds with (least-most). `CPU µs/request` is the time of all threads of the gateway;
it is to be compared only where `CPUs used` is near 1 for both, because a gateway that waits for its load also
pays for falling asleep. Latency in a closed loop follows from the throughput. `bytes/connection` is the growth
of PSS while the connections are opened, without pages of files, whose share changes with every other program
that starts or ends. The column beside it adds what a start for so many connections allocates beyond a start for
a few. A round in which other programs took more than a sixth of a CPU is repeated; one that stayed disturbed is
left out of the medians unless all were. A ratio is the median of the ratios of the rounds, in which the two were
measured one after the other: it keeps where the machine as a whole is faster or slower from minute to minute.
`relay` passes bytes on and knows nothing of HTTP: it is no peer, but the floor.
"""


def number(value, digits):
    return f"{value:,.{digits}f}".replace(",", " ")


def usable(rounds):
    return [figures for figures in rounds if not figures["disturbed"]] or rounds


def median(rounds, key):
    return statistics.median(figures[key] for figures in usable(rounds))


def cell(rounds, key, digits):
    values = sorted(figures[key] for figures in usable(rounds))
    return f"{number(statistics.median(values), digits)} ({number(values[0], digits)}-{number(values[-1], digits)})"


def remarks(rounds):
    """How many rounds count, and what went wrong in them."""
    good = sum(not figures["disturbed"] for figures in rounds)
    text = str(len(rounds)) if good == len(rounds) else f"{good} of {len(rounds)} undisturbed"
    failed = sum(figures["errors"] + figures.get("refused", 0) for figures in rounds)
    return text + (f"; {failed} FAILED" if failed else "")


def against(rounds, name, other, key):
    """The median of what is one to the other in each round."""
    pairs = [(one[key], two[key]) for one, two in zip(rounds[name], rounds[other]) if not one["disturbed"] and not two["disturbed"]]
    pairs = pairs or [(median(rounds[name], key), median(rounds[other], key))]
    return statistics.median(one / two if two else 0 for one, two in pairs)


def ratio(rounds, name, key, is_less_better):
    """One of ours against the better of the peers."""
    peers = sorted((peer for peer in PEERS if peer in rounds), key=lambda peer: median(rounds[peer], key))
    best = peers[0 if is_less_better else -1]
    return f"{against(rounds, name, best, key):.2f}"


def table(rounds, columns):
    lines = ["| | " + " | ".join(heading for _, heading, _, _ in columns) + " | rounds |",
             "| --- |" + " ---: |" * (len(columns) + 1)]
    for name, of in rounds.items():
        cells = [cell(of, key, digits) for key, _, digits, _ in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {remarks(of)} |")
    if "sluice-plugins" in rounds:
        cells = ["" if less is None else f"{against(rounds, 'sluice-plugins', 'sluice', key):.2f}"
                 for key, _, _, less in columns]
        lines.append("| with plugins / bare | " + " | ".join(cells) + " | |")
    for name in rounds:
        if name.startswith("sluice") and any(peer in rounds for peer in PEERS):
            cells = ["" if less is None else ratio(rounds, name, key, less) for key, _, _, less in columns]
            lines.append(f"| {name} / better peer | " + " | ".join(cells) + " | |")
            lines += above_floor(rounds, name) if "relay" in rounds else []
    return lines


def above_floor(rounds, name):
    cells = [number(statistics.median(one[key] - floor[key] for one, floor in zip(rounds[name], rounds["relay"])), 2)
             for key in ("cpu_us", "user_us")]
    return [f"| {name} - relay | " + " | ".join(cells) + " |" + " |" * (len(LOAD) - 1)]


def markdown(about, settings, results):
    lines = [f"# Comparison of {about['date']}", ""]
    lines += [f"- {name}: {text}" for name, text in about.items() if name != "date"]
    lines += ["", READING]
    for name, case in results.items():
        is_idle = name == "idle"
        lines += [f"## {case['title']}", ""] + table(case["rounds"], IDLE if is_idle else LOAD) + [""]
        lines += [] if is_idle else [f"    {case['command']}", ""]
    lines += ["## Configurations", ""]
    for file, text in settings.items():
        lines += [f"`{file}`", "", "```", text, "```", ""]
    return "\n".join(lines)


def free_name(folder):
    """Today's date, and a number from the second on."""
    today = time.strftime("%Y-%m-%d")
    name, count = today, 1
    while os.path.exists(os.path.join(folder, name + ".md")):
        count += 1
        name = f"{today}-{count}"
    return os.path.join(folder, name)


def write(folder, about, settings, results):
    os.makedirs(folder, exist_ok=True)
    text = markdown(about, settings, results)
    path = free_name(folder)
    with open(path + ".md", "w", encoding="utf-8") as out:
        out.write(text)
    with open(path + ".json", "w", encoding="utf-8") as out:
        json.dump({"about": about, "settings": settings, "results": results}, out, indent=1)
    print(text.partition("\n## Configurations")[0])
    print(f"written: {os.path.relpath(path)}.md and .json")
