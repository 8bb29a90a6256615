#!/usr/bin/env python3
"""What imports what inside a module of the crate: its rooms, arrows, floors and circles.

    scripts/imports.py [src src/search src/device …] [--files] [--arrows]

A room is an entry of the module's folder: a file, or a folder with all its files. An arrow leads from a room to one that
it names outside its tests, in a `use` or in a path. A re-export counts as the place that it leads to, and makes no arrow
itself. The floor of a room is 1 more than the highest one it imports from; rooms that import each other, directly or over
others, are a circle and share a floor. `--files` does the same for single files, `--arrows` prints every arrow.
Without a module it shows the whole crate and every folder of it.
Exits with 1 if more than two rooms, or more than two files, import each other in a circle.
"""

import argparse
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
TESTS = re.compile(r"#\[cfg\(test\)\]\s*mod tests \{.*\Z", re.DOTALL)
COMMENT = re.compile(r"//[^\n]*")
STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def module_of(file):
    """`src/search/run/mod.rs` is module `("search", "run")`."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def spread(path):
    """The single paths of a `use`: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    path = path.strip()
    if "{" not in path:
        return [path.split(" as ")[0].strip()] if path else []
    head, rest = path.split("{", 1)
    inner, depth, parts, part = rest[: rest.rindex("}")], 0, [], ""
    for char in inner:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    return [head.strip() + path for one in [*parts, part] for path in spread(one)]


class Crate:
    """Every module's own paths, and what it re-exports."""

    def __init__(self):
        self.files = {module_of(file): file for file in sorted(SOURCE.rglob("*.rs")) if file.name not in ("lib.rs", "main.rs")}
        self.files[()] = SOURCE / "lib.rs"
        self.paths, self.exports = {}, {}
        for module, file in self.files.items():
            text = STRING.sub('""', COMMENT.sub("", TESTS.sub("", file.read_text())))
            self.paths[module], self.exports[module] = set(), {}
            for public, path in USE.findall(text):
                for one in spread(" ".join(path.split())):
                    one = self.absolute(module, one.split("::"))
                    if one is not None and public:
                        self.exports[module][one[-1]] = one
                    elif one is not None:
                        self.paths[module].add(one)
            for path in PATH.findall(USE.sub("", text)):
                self.paths[module].add(self.absolute(module, path.split("::")))

    def absolute(self, module, names):
        """A path from the crate's root; none of another crate's."""
        if names[0] == "crate":
            return tuple(names[1:])
        if names[0] not in ("super", "self"):
            return (*module, *names) if (*module, names[0]) in self.files else None
        while names and names[0] in ("super", "self"):
            module, names = (module[:-1] if names[0] == "super" else module), names[1:]
        return (*module, *names)

    def target(self, path):
        """The module that holds what a path names."""
        module = ()
        for place, name in enumerate(path):
            if (*module, name) in self.files:
                module = (*module, name)
            elif name in self.exports[module]:
                return self.target((*self.exports[module][name], *path[place + 1 :]))
            else:
                break
        return module

    def arrows(self, root, room):
        """The arrows inside a module, between what `room` calls its members."""
        inside = [module for module in self.files if module[: len(root)] == root]
        found = {room(module): set() for module in inside if self.paths[module] or module != root}
        for module in inside:
            for target in {self.target(path) for path in self.paths[module]}:
                if target[: len(root)] == root and room(target) != room(module):
                    found[room(module)].add(room(target))
                    found.setdefault(room(target), set())
        return found


def circles(arrows):
    """The sets of members that import each other, by reachability: there are few."""
    reached = {member: set(targets) for member, targets in arrows.items()}
    for middle in arrows:
        for member in arrows:
            if middle in reached[member]:
                reached[member] |= reached[middle]
    together = {frozenset({b for b in reached[a] if a in reached[b]} | {a}) for a in arrows}
    return sorted((sorted(one) for one in together if len(one) > 1), key=len)


def floors(arrows):
    """The floor of every member."""
    circle = {member: frozenset(one) for one in circles(arrows) for member in one}
    group = lambda member: circle.get(member, frozenset({member}))
    known = {}

    def floor(one):
        if one not in known:
            below = {group(target) for member in one for target in arrows[member]} - {one}
            known[one] = 1 + max((floor(other) for other in below), default=0)
        return known[one]

    return {member: floor(group(member)) for member in arrows}


def show(title, arrows, every):
    """Prints it."""
    floor, rings = floors(arrows), circles(arrows)
    count = sum(len(targets) for targets in arrows.values())
    print(f"{title}: {len(arrows)} members, {count} arrows, {max(floor.values())} floors, {len(rings)} circles")
    for level in range(1, max(floor.values()) + 1):
        print(f"  {level:2} {', '.join(sorted(member for member in floor if floor[member] == level))}")
    for ring in rings:
        print(f"  circle of {len(ring)}: {', '.join(ring)}")
    if every:
        for member in sorted(arrows):
            print(f"  {member} -> {', '.join(sorted(arrows[member])) or 'nothing'}")


def folders():
    """The crate's modules that are folders."""
    return [f"src/{folder.name}" for folder in sorted(SOURCE.iterdir()) if (folder / "mod.rs").exists()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=["src", *folders()])
    parser.add_argument("--files", action="store_true", help="between single files, too")
    parser.add_argument("--arrows", action="store_true", help="every arrow")
    options = parser.parse_args()
    crate, largest = Crate(), 0
    for name in options.modules:
        root = tuple(part for part in Path(name).parts if part != "src")
        room = lambda module: module[len(root)] if len(module) > len(root) else "mod"
        rooms = crate.arrows(root, room)
        show(name, rooms, options.arrows)
        files = crate.arrows(root, lambda module: "/".join(module[len(root) :]) or "mod")
        largest = max([largest, *map(len, circles(rooms)), *map(len, circles(files))])
        if options.files:
            show(f"{name}, file by file", files, options.arrows)
    sys.exit(largest > 2)


if __name__ == "__main__":
    main()
