#!/usr/bin/python3
"""Compare the layout of gateway/abi/sluice_plugin.h with the table that is kept beside it.

usage: scripts/abi-layout.py [--write] [CC]

The table names every enum constant, and size and offset of every member of every struct, on x86-64.
What is there may not change; what is new is appended with --write. A struct may grow only when it
tells its size, or when the gateway alone makes it.
"""
import platform
import re
import subprocess
import sys
import tempfile

HEADER = "gateway/abi/sluice_plugin.h"
TABLE = "gateway/abi/layout.txt"
MAY_GROW = {"sluice_call", "sluice_option"}  # the gateway's own; rows tell option_size


def members(body):
    for declaration in re.sub(r"__attribute__\(\(.*?\)\)\)?", "", body).split(";"):
        declaration = " ".join(declaration.split())
        pointer = re.search(r"\(\*(\w+)\)\(", declaration)
        if pointer:
            yield pointer.group(1)
            continue
        for name in declaration.split(","):
            found = re.search(r"(\w+)(\[\w+\])?$", name.strip())
            if found:
                yield found.group(1)


def read_header():
    text = open(HEADER, encoding="utf-8").read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:\\\n|.)*$", "", text, flags=re.M)
    structs = {name: list(members(body))
               for name, body in re.findall(r"^struct (\w+) \{\n(.*?)\n\};", text, re.S | re.M)}
    enums = [name for body in re.findall(r"^enum \w+ \{\n(.*?)\n\};", text, re.S | re.M)
             for name in re.findall(r"^\s*(SLUICE_\w+)", body, re.M)]
    return structs, enums


def measure(compiler, structs, enums):
    lines = ["#include <stdio.h>", '#include "sluice_plugin.h"', "int main(void) {"]
    for name in enums:
        lines.append(f'printf("enum {name} %d\\n", (int){name});')
    for name, fields in structs.items():
        lines.append(f'printf("struct {name} %zu\\n", sizeof(struct {name}));')
        for field in fields:
            what = f"struct {name}, {field}"
            lines.append(f'printf("  {name}.{field} %zu %zu\\n", offsetof({what}), '
                         f"sizeof(((struct {name} *)0)->{field}));")
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as folder:
        source, program = f"{folder}/layout.c", f"{folder}/layout"
        open(source, "w", encoding="utf-8").write("\n".join(lines))
        subprocess.run([compiler, "-Igateway/abi", "-o", program, source], check=True)
        return subprocess.run([program], check=True, capture_output=True,
                              text=True).stdout.splitlines()


def compare(kept, now, structs):
    complaints = []
    by_name = {line.split()[-2 if line.startswith(("enum", "struct")) else 0]: line
               for line in now}
    for line in kept:
        words = line.split()
        name = words[1] if line.startswith(("enum", "struct")) else words[0]
        found = by_name.get(name)
        if found == line:
            continue
        grows = line.startswith("struct") and (name in MAY_GROW or
                                               structs.get(name, [""])[0] == "size")
        if found and grows and int(found.split()[-1]) > int(words[-1]):
            continue
        complaints.append(f"was: {line.strip()}, is: {found.strip() if found else 'gone'}")
    return complaints


def main():
    arguments = [word for word in sys.argv[1:] if word != "--write"]
    if platform.machine() != "x86_64":
        print(f"abi layout: SKIPPED, the table is for x86-64 and this is {platform.machine()}")
        return 0
    structs, enums = read_header()
    now = measure(arguments[0] if arguments else "cc", structs, enums)
    try:
        kept = open(TABLE, encoding="utf-8").read().splitlines()
    except FileNotFoundError:
        kept = []
    complaints = compare(kept, now, structs)
    for complaint in complaints:
        print(f"{HEADER}: the layout has changed: {complaint}")
    if complaints:
        return 1
    if "--write" in sys.argv:
        open(TABLE, "w", encoding="utf-8").write("\n".join(now) + "\n")
    elif kept != now:
        print(f"{HEADER}: there is something new, which is fine: "
              "keep it with scripts/abi-layout.py --write")
    print(f"abi layout: ok, {len(structs)} structs, {len(now)} lines")
    return 0


sys.exit(main())
