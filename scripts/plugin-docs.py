#!/usr/bin/python3
"""Compare the options of each plugin with its README.

usage: scripts/plugin-docs.py [--write] SLUICE PLUGINS

SLUICE is the binary, PLUGINS the folder of built plugins. Between <!-- options --> and
<!-- /options --> a README holds what `sluice plugin inspect --markdown` prints; --write puts it
there. A README without these marks must at least name every option.
"""
import json
import pathlib
import re
import subprocess
import sys

MARKED = re.compile(r"(<!-- options -->\n)(.*?)(<!-- /options -->)", re.S)


def inspect(sluice, plugin, form):
    return subprocess.run([sluice, "plugin", "inspect", form, plugin], check=True,
                          capture_output=True, text=True).stdout


def check(sluice, plugin, readme, write):
    text = readme.read_text(encoding="utf-8")
    if not MARKED.search(text):
        options = json.loads(inspect(sluice, plugin, "--json"))["options"]
        names = {re.split(r"[.\[]", option["path"])[-1].rstrip("]") or option["path"]
                 for option in options}
        missing = sorted(name for name in names if not re.search(rf"\b{name}\b", text))
        return [f"{readme}: does not name the option {name}" for name in missing]
    table = inspect(sluice, plugin, "--markdown")
    fresh = MARKED.sub(lambda match: match.group(1) + table + match.group(3), text)
    if fresh == text:
        return []
    if write:
        readme.write_text(fresh, encoding="utf-8")
        return []
    return [f"{readme}: the table of options is not what the plugin says: run make docs"]


def main():
    write = "--write" in sys.argv
    sluice, built = [word for word in sys.argv[1:] if word != "--write"]
    complaints, n = [], 0
    for readme in sorted(pathlib.Path("plugins").glob("*/README.md")):
        plugin = pathlib.Path(built) / f"{readme.parent.name}.so"
        if not plugin.exists():
            complaints.append(f"{readme}: there is no {plugin}")
            continue
        complaints += check(sluice, plugin, readme, write)
        n += 1
    print("\n".join(complaints) if complaints else f"plugin docs: ok, {n} plugins")
    return 1 if complaints else 0


sys.exit(main())
