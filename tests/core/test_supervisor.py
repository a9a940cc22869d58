"""One child of the supervisor: restarted when it dies, given up when it dies too often, ended with all it started."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.supervisor.process import Child, GaveUp, run_to_end


def said() -> tuple[list[str], object]:
    lines: list[str] = []
    return lines, lambda name, text: lines.append(f"{name}: {text}")


def python(code: str, **more) -> Child:
    return Child("c", [sys.executable, "-c", code], Path.cwd(), restart_delay_s=0.01, **more)


def test_it_gives_up_on_a_child_that_cannot_live():
    lines, say = said()

    async def scenario():
        child = python("print('no config'); raise SystemExit(3)")
        await child.start(say)
        await child.keep(say)

    with pytest.raises(GaveUp, match=r"c died 9 times in 180 s \(exit code 3\): .*no config"):
        asyncio.run(scenario())
    assert sum("it is started again" in line for line in lines) == 8


def test_it_starts_a_killed_child_again():
    lines, say = said()

    async def scenario():
        child = python("import time; print('here', flush=True); time.sleep(60)")
        await child.start(say)
        keeper = asyncio.create_task(child.keep(say))
        while lines.count("c: here") < 1:
            await asyncio.sleep(0.05)
        child.process.kill()
        while lines.count("c: here") < 2:
            await asyncio.sleep(0.05)
        await child.stop()
        await keeper

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert any("died (SIGKILL)" in line for line in lines)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_ends_what_does_not_listen_and_what_it_started():
    lines, say = said()
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True); time.sleep(60)"
    )

    async def scenario() -> tuple[int, float]:
        child = python(code, grace_s=0.5, stop_signal=signal.SIGTERM)
        await child.start(say)
        while not lines:
            await asyncio.sleep(0.05)
        began = time.monotonic()
        await child.stop()
        return int(lines[0].split()[-1]), time.monotonic() - began

    grandchild, seconds = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert 0.5 <= seconds < 5
    deadline = time.monotonic() + 10  # it was killed; the kernel may need a moment to end it
    while not gone(grandchild):
        assert time.monotonic() < deadline, "the child's child is still there"
        time.sleep(0.05)


def test_a_step_that_fails_says_why():
    _, say = said()
    with pytest.raises(GaveUp, match=r"step failed: .*no such table"):
        asyncio.run(run_to_end(["-c", "raise SystemExit('no such table')"], name="step", cwd=Path.cwd(), say=say))
