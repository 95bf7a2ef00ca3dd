"""Finds the handler by parsing, never by importing, and compiles the author's modules.

Called as: python -s -S -P -c SCRIPT ROOT ENTRY OUT, with the paths of all modules, one a line, in ROOT's list file.
Answers one JSON object on standard output: {"mistakes": [...], "compiled": [...]}.
"""

import ast
import difflib
import json
import os
import py_compile
import sys
import traceback
import warnings

CALL = "it is called as handler(payload, ctx)"


def mistake(what, path, line=None, text=None, detail=(), next=None):
    return {"what": what, "path": path, "line": line, "text": text, "detail": list(detail), "next": next}


def read(root, path):
    with open(os.path.join(root, path), "rb") as file:
        return file.read()


def syntax_mistake(path, error, entry):
    lines = "".join(traceback.format_exception_only(error)).rstrip().splitlines()
    hint = None
    if path != entry:
        hint = f'mend it, or leave it out with `exclude = ["{path}"]` in ignite.toml'
    # What CPython shows names file, line and column itself.
    return mistake(f"{path} is not valid Python", None, detail=[line.rstrip() for line in lines], next=hint)


def bound(body, found):
    """The names a module binds at its top level, also below if, try, with, for and while."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                found[(alias.asname or alias.name).split(".")[0]] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and not (isinstance(node, ast.AnnAssign) and node.value is None):
                        found[name.id] = node
        for field in ("body", "orelse", "finalbody"):
            below = getattr(node, field, None)
            if isinstance(below, list) and not isinstance(
                node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            ):
                bound(below, found)
        for handler in getattr(node, "handlers", ()):
            bound(handler.body, found)
        for case in getattr(node, "cases", ()):
            bound(case.body, found)


def line_of(source, number):
    lines = source.decode("utf-8", "replace").splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else None


def check_parameters(node, path, source):
    if node.decorator_list:
        # A decorator may change what the function takes.
        return None
    arguments = node.args
    positional = arguments.posonlyargs + arguments.args
    required = len(positional) - len(arguments.defaults)
    keyword = [arg.arg for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is None]
    text = line_of(source, node.lineno)
    if len(positional) < 2 and arguments.vararg is None:
        count = {0: "no parameters", 1: "one parameter"}[len(positional)]
        return mistake(f"`handler` takes {count}, but {CALL}", path, node.lineno, text, next="write `def handler(payload, ctx):`")
    if required > 2:
        return mistake(
            f"`handler` needs {required} parameters, but {CALL}", path, node.lineno, text,
            next="give all but the first two a default, or read them from payload",
        )
    if keyword:
        names = ", ".join(f"`{name}`" for name in keyword)
        return mistake(
            f"`handler` needs the keyword {names}, but {CALL}", path, node.lineno, text,
            next=f"give {names} a default",
        )
    return None


def missing(tree, found, path, source):
    functions = {name: node for name, node in found.items() if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and method.name == "handler":
                    return mistake(
                        f"`handler` stands inside class {node.name}, where it is not found", path, method.lineno,
                        line_of(source, method.lineno),
                        next=f"write beside the class `handler = {node.name}().handler`, or move the function out",
                    )
    public = [name for name in functions if not name.startswith("_")]
    near = difflib.get_close_matches("handler", public, 1, 0.6) or difflib.get_close_matches(
        "handler", [name.lower() for name in public], 1, 0.6
    )
    near = [name for name in public if near and name.lower() == near[0].lower()]
    candidates = near or [name for name in public if name in ("main", "lambda_handler", "handle", "run", "invoke")]
    if not candidates and len(public) == 1:
        candidates = public
    if candidates:
        name = candidates[0]
        node = functions[name]
        return mistake(
            f"{path} has no function `handler`", path, node.lineno, line_of(source, node.lineno),
            next=f"rename `{name}` to `handler`, or add `handler = {name}` below it",
        )
    return mistake(f"{path} has no function `handler`", path, next="write `def handler(payload, ctx):` at its top level")


def check_handler(root, entry):
    source = read(root, entry)
    tree = ast.parse(source, filename=entry)
    found = {}
    bound(tree.body, found)
    node = found.get("handler")
    if node is None:
        stars = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names)]
        # Only importing could tell what a star brings.
        return None if stars else missing(tree, found, entry, source)
    if isinstance(node, ast.ClassDef):
        return mistake(
            "`handler` is a class, but a function is needed", entry, node.lineno, line_of(source, node.lineno),
            next="write `def handler(payload, ctx):`",
        )
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return check_parameters(node, entry, source)
    return None


def compile_module(root, path, out):
    folder, name = os.path.split(path)
    target = os.path.join(folder, "__pycache__", f"{name[:-3]}.{sys.implementation.cache_tag}.pyc")
    py_compile.compile(
        os.path.join(root, path), os.path.join(out, target), path, doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return target


def main():
    root, entry, out = sys.argv[1:4]
    with open(os.path.join(out, "modules"), encoding="utf-8") as file:
        modules = file.read().split("\0")
    warnings.simplefilter("ignore")
    mistakes = []
    for path in modules:
        try:
            ast.parse(read(root, path), filename=path)
        except (SyntaxError, ValueError) as error:
            mistakes.append(syntax_mistake(path, error, entry))
        except (RecursionError, MemoryError):
            mistakes.append(mistake(f"{path} is nested too deeply for Python's parser", path))
    if not mistakes:
        found = check_handler(root, entry)
        mistakes.extend([found] if found else [])
    compiled = []
    if not mistakes:
        for path in modules:
            try:
                compiled.append(compile_module(root, path, out))
            except py_compile.PyCompileError as error:
                # The parser accepts what the compiler does not, such as `return` outside a function.
                mistakes.append(syntax_mistake(path, error.exc_value, entry))
    json.dump({"mistakes": mistakes, "compiled": compiled}, sys.stdout)


main()
