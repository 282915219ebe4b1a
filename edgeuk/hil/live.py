"""The live summary of `edgeuk test`: a line per test as it ends, then the numbers."""

import pytest

WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}
MARK = {"passed": {"green": True}, "failed": {"red": True, "bold": True}, "skipped": {}}


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count as ever, but print neither letters nor words: `pytest_runtest_logreport` does."""
    if report.when == "call" or report.outcome != "passed":
        failed_around = report.failed and report.when != "call"
        return ("error" if failed_around else report.outcome), "", ""
    return None


class Live:
    """Prints on pytest's own terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line per test, and one for each trouble around it."""
        if report.when != "call" and report.outcome == "passed":
            return
        self.ran += report.outcome == "passed" or report.failed
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal is None:
            return
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        word = WORDS[report.outcome]
        terminal.ensure_newline()
        terminal.write(f"{word:8}", **MARK[report.outcome])
        terminal.write_line(f"{name:62} {report.duration:5.1f} s")
        if report.skipped and isinstance(report.longrepr, tuple):
            terminal.write_line(f"{'':8}because {report.longrepr[2].removeprefix('Skipped: ')}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Where every test was skipped, nothing is proved."""
        if session.exitstatus == pytest.ExitCode.OK and self.ran == 0:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_configure(config: pytest.Config) -> None:
    """Once per run."""
    config.pluginmanager.register(Live(config), "edgeuk-live")
