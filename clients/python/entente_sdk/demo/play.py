"""The whole demo in its order: set-up, story, oversight, and what to do next."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path

from certs.network import Network
from entente_sdk.demo.cast import Cast
from entente_sdk.demo.checks import FIRST_ANSWERS_SECONDS, DemoError, FirstAnswers
from entente_sdk.demo.oversight import show_audit, show_fields, show_proof, show_told
from entente_sdk.demo.screen import Screen
from entente_sdk.demo.story import Story
from entente_sdk.demo.world import folder, interruptible, running_broker


def play(keep: Path | None) -> None:
    """Play it. Raises EntenteError where set-up or a step fails.

    Args:
        keep: a new folder that stays; None: a temporary one that is removed.
    """
    screen = Screen()
    begun = time.monotonic()
    with interruptible(), folder(keep) as directory:
        with screen.step("Set-up: an authority, five agencies' certificates, and a broker"):
            screen.says("Everything is invented; the broker, its policy and its ledger are real.")
        with running_broker(directory) as broker:
            times = FirstAnswers()
            screen.granted(f"The broker serves on {broker.network.listen} after {times.started - begun:.1f} s.")
            story = asyncio.run(_tell(screen, broker.network, times))
        if story.liaison_receipt is None:
            raise DemoError("the liaison officer has no receipt")
        show_proof(screen, broker.network, directory / "changed-copy", story.liaison_receipt)
        granted, denied = times.within_limit()
        with screen.step("Done: every step did what it says"):
            screen.granted(f"First granted answer: {granted:.1f} s after set-up's end.")
            screen.granted(f"First denied answer: {denied:.1f} s after set-up's end.")
            screen.note(f"(At most {FIRST_ANSWERS_SECONDS:.0f} s each.) In all: {time.monotonic() - begun:.1f} s.")
            _next(screen, broker.network if keep is not None else None, story)


async def _tell(screen: Screen, network: Network, times: FirstAnswers) -> Story:
    async with Cast(network, times) as cast:
        story = Story(cast, screen)
        await story.watch()
        await story.submit()
        await story.find()
        await story.assess()
        await story.ask_abroad()
        await story.release()
        await story.amend()
        await story.share_silently()
        await story.refuse_auditor()
        headings = [(member.name, member.why.purpose) for member in cast.members.values()]
        show_fields(screen, await story.sections(), headings)
        await story.retract()
        await show_told(story)
        await show_audit(story)
        return story


def _next(screen: Screen, kept: Network | None, story: Story) -> None:
    if kept is None:
        screen.says("The folder was temporary. To keep the broker's world and go on by hand:")
        screen.command("entente demo --keep my-network")
        return
    where = shlex.quote(str(kept.directory))
    screen.says(f"Everything is in {kept.directory}. To go on by hand, in two terminals:")
    screen.command(f"entente serve --config {where}/broker.toml")
    screen.command(f"export ENTENTE_CONFIG={where}/client.toml")
    screen.command(f"entente report get {story.street} --profile liaison --purpose THREAT_TO_LIFE")
    screen.command(f"entente audit who-saw {story.street} --profile auditor")
    screen.command(f"entente audit verify {where}/data/ledger --profile auditor")
    screen.command(f"entente audit verify {where}/changed-copy --profile auditor   # ends with 7")
