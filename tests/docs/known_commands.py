#!/usr/bin/env python3
"""known_commands.py REPOSITORY PROGRAM: every `ponder ...` command in the documentation, in a block or in a line, names commands
and options that the program has; every script and configuration that is named lies in the repository. docs.pages runs those that can
run in a test; this looks at all of them, those that take hours or another machine too."""
import functools
import pathlib
import re
import shlex
import subprocess
import sys




@functools.cache
def help_of(program, *commands):
    result = subprocess.run([program, *commands, "--help"], capture_output=True, text=True)
    return result.stdout if result.returncode == 0 else None


def commands_in(text):
    """(line number, command) of what stands in code: indented under ``` or between `."""
    lines = text.split("\n")
    is_code = False
    pending = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            is_code = not is_code
            continue
        if not is_code:
            for inline in re.findall(r"`([^`]+)`", line):
                yield number, inline
            continue
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        yield number, pending
        pending = ""


def problems_of(program, command):
    command = re.sub(r"\s#.*", "", command.strip().removeprefix("$ "))
    for part in re.split(r"\s(?:\||&&|>|2>&1|<|;)\s?|\s&$", command):
        words = part.replace("…", " ").replace("[", " ").replace("]", " ")
        try:
            words = shlex.split(words)
        except ValueError:
            words = words.split()
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if not words or not re.fullmatch(r"(\S*/)?ponder", words[0]):
            continue
        names, text = [], help_of(program)
        for word in words[1:]:
            if not re.fullmatch(r"[a-z][a-z-]*", word):
                break
            deeper = help_of(program, *names, word) if re.search(rf"^  {re.escape(word)}\b", text, re.M) else None
            if deeper is None:
                if not names:
                    yield f"no command '{word}'"
                break
            names, text = [*names, word], deeper
        known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)) | {"--help", "--version"}
        for word in words[1:]:
            flag = word.split("=")[0]
            if re.fullmatch(r"--[a-z][a-z-]*", flag) and flag not in known:
                yield f"'ponder {' '.join(names)}' has no {flag}"


def main():
    repository, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    pages = [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]
    found = checked = 0
    for page in pages:
        for number, command in commands_in(page.read_text()):
            where = f"{page.relative_to(repository)}:{number}"
            for problem in problems_of(program, command):
                print(f"{where}: {problem}: {command}")
                found += 1
            for path in re.findall(r"(?<![\w/.-])(?:\./)?((?:scripts|configs|examples|tests)/[\w./-]+)", command):
                checked += 1
                if not (repository / path.rstrip("./")).exists():
                    print(f"{where}: {path} is not there: {command}")
                    found += 1
            checked += "ponder" in command
    print(f"{checked} looked at, {found} wrong")
    return 1 if found or checked < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
