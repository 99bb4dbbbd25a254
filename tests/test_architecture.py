"""The order of the design: a module imports only what stands above it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import stablenew

ROOT = Path(stablenew.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

ORDER = (
    "errors",
    "_arguments",
    "_names",
    "_clock",
    "_cancelling",
    "_blas",
    "storage",
    "_convert",
    "_metadata",
    "config",
    "events",
    "backends",
    "pipeline",
    "learning",
    "advice",
    "controller",
    "report",
    "app",
    "_app_thread",
    "hosts",
    "cli",
    "studio",
    "run",
)
"""From top to bottom; a package is one layer."""

HOMES = {"aiofiles": "storage.files", "cattrs": "_convert"}
"""Libraries that one module alone imports."""

BROAD = {
    "studio.plan_queue": "what goes wrong in a plan ends that plan, and not the queue",
    "backends.comfyui.job": "whatever goes wrong with a prompt is an error of its job alone",
    "backends.worker.serving": "whatever a backend raises is an error of its call alone",
    "backends.webui.job": "whatever goes wrong in a request is an error of its job alone",
    "events.subscription": "a handler that raises does not end its subscription",
    "pipeline.stage_call": "a failing interrupt must not replace a cancellation",
    "pipeline.stage_sequencer": "whatever a backend or a disk raises is an outcome",
    "hosts": "a broken handler of a GUI must not end its pump",
    "learning.learning_execution": "a failing scorer ends the plan with what was made",
    "learning.step_runner": "a failed step does not end the plan",
    "learning.learning_recorder": "a failing writer never fails a run",
}
"""Where `except Exception` does not raise again, and why."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer(name: str) -> str:
    return name.partition(".")[0]


@cache
def imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


@cache
def trees() -> list[tuple[str, ast.Module]]:
    return [(name_of(path), ast.parse(path.read_text())) for path in MODULES]


def test_imports_run_downward_only() -> None:
    upward = [
        f"{name} imports {module}"
        for name, tree in trees()
        if name != "__init__"  # the public names come from everywhere
        for module in imports(tree)
        if module.startswith("stablenew.")
        if ORDER.index(layer(module.removeprefix("stablenew."))) > ORDER.index(layer(name))
    ]
    assert upward == []


def test_within_a_layer_there_is_no_cycle() -> None:
    graph = {
        name: {
            module.removeprefix("stablenew.")
            for module in imports(tree)
            if module.startswith("stablenew.")
        }
        for name, tree in trees()
        if name != "__init__"
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path, name))
        if name not in done:
            for other in sorted(graph[name] & set(graph)):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(("library", "home"), HOMES.items())
def test_some_libraries_have_one_home(library: str, home: str) -> None:
    users = {
        name for name, tree in trees() if library in {m.partition(".")[0] for m in imports(tree)}
    }
    assert users == {home}


def test_every_module_begins_with_its_docstring_and_the_future() -> None:
    for name, tree in trees():
        assert ast.get_docstring(tree), name
        body = [node for node in tree.body[1:] if not isinstance(node, ast.Expr)]
        if body:
            first = body[0]
            assert isinstance(first, ast.ImportFrom), name
            assert first.module == "__future__", name


def catches_everything(handler: ast.ExceptHandler) -> bool:
    names = {ast.unparse(handler.type)} if handler.type else {""}
    return bool(names & {"", "Exception", "BaseException"})


def test_errors_are_swallowed_only_where_it_says_why() -> None:
    found = set()
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and catches_everything(node):
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                if not raises:
                    found.add(name)
    assert found == set(BROAD)


@cache
def calls() -> list[tuple[str, ast.Call, str]]:
    """Return every call: in which module, the call itself, and what is called."""
    return [
        (name, node, ast.unparse(node.func))
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


FORBIDDEN = (
    "asyncio.create_task",
    "asyncio.wait_for",
    "asyncio.run",
    "anyio.run",
    "asyncio.new_event_loop",
    "signal.signal",
    "anyio.open_signal_receiver",
    "logging.basicConfig",
    "sys.exit",
    "os._exit",
    "subprocess.run",
    "subprocess.Popen",
    "anyio.run_process",
    "asyncio.ensure_future",
)


def test_loops_signals_logging_and_processes_belong_to_the_program_alone() -> None:
    for name, node, called in calls():
        if name not in ("run", "cli.stops", "cli.program_rater", "cli.worker"):
            assert called not in FORBIDDEN, f"{name}:{node.lineno}"


def test_only_the_command_line_prints() -> None:
    for name, node, called in calls():
        if layer(name) not in ("cli", "run"):
            assert called != "print", f"{name}:{node.lineno}"


def test_what_the_command_line_prints_is_made_printable() -> None:
    for name, node, called in calls():
        if called == "print":
            ours = all(isinstance(each, ast.Constant) for each in node.args)
            assert ours or name == "cli.printing", f"{name}:{node.lineno}"


def test_every_shield_has_a_deadline() -> None:
    for name, node, called in calls():
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        shield = keywords.get("shield")
        if shield is None or ast.unparse(shield) == "False":
            continue
        bounded = called.endswith(("fail_after", "move_on_after"))
        # A subscriber's shield gets its deadline when the bus is left (promise 7).
        own = (
            name == "events.subscription" and ast.unparse(node) == "anyio.CancelScope(shield=True)"
        )
        assert bounded or "deadline" in keywords or own, f"{name}:{node.lineno}"


def test_a_file_of_the_page_is_short_and_asks_nobody_else() -> None:
    files = [path for path in ROOT.glob("*/static/*") if path.suffix in (".js", ".css", ".html")]
    assert len(files) > 30
    for path in files:
        text = path.read_text()
        assert len(text.splitlines()) < 300, path
        assert "://" not in text.replace("http://127.0.0.1", "").replace("http://www.w3.org", ""), (
            path
        )
