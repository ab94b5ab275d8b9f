"""Owns a session's secret values: where they come from, when they are kept, and what has to be masked.

The vault's calls may wait for the OS keyring (each has its own limit), so they run beside the event loop, and
what is known is read once when the vault is opened.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from flywizard.backstage import Backstage
from flywizard.fronts import Page
from flywizard.session_place import Place
from flywizard.session_state import SECRET_FIELDS, State
from flywizard.vault import VARIABLE, LayeredVault, Secret, VaultError, fingerprint

TOKEN = "FLY_API_TOKEN"  # noqa: S105 - the vault's name of a token, not a token
TOKEN_VARIABLES = (TOKEN, "FLY_ACCESS_TOKEN")


class Keeping:
    """The secrets of one session."""

    def __init__(self, back: Backstage, state: State, place: Place) -> None:
        self._back, self._state, self._place = back, state, place
        self._folder: Path | None = None
        state.environment_names = frozenset(
            n.removeprefix(VARIABLE) for n in back.environ if n.startswith(VARIABLE)
        )
        for name, text in back.environ.items():
            if name.startswith(VARIABLE) or name in TOKEN_VARIABLES:
                state.redactor.add(text)

    def take(self, field_id: str, value: Secret) -> None:
        """Take a value that was entered; it is masked from now on."""
        self._state.typed[field_id] = value
        self._state.stood_in.discard(field_id)
        self._state.redactor.add(value.reveal())

    def mask(self) -> list[str]:
        """Return all values known now."""
        state = self._state
        values = [v.reveal() for v in state.typed.values()]
        values += [v.reveal() for _, v in state.from_files.values()]
        if state.vault is not None:
            values += [s.reveal() for n in state.vault_names if (s := _known(state.vault, n)) is not None]
        values += [v for n, v in self._back.environ.items() if n in TOKEN_VARIABLES]
        return [v for v in values if v]

    async def vault(self) -> LayeredVault:
        """Return the places where values are kept, opened when first asked for and when the project's name changes."""
        folder = self._place.folder()
        state = self._state
        if state.vault is None or self._folder != folder:
            before = state.vault
            vault = await self._back.vault(folder.name, folder)
            if vault is not before and before is not None:
                await asyncio.to_thread(_carry, before, vault)
            state.vault, self._folder = vault, folder
            state.vault_names = await asyncio.to_thread(_warm, vault)
            for name in state.vault_names:
                if (value := _known(vault, name)) is not None:
                    state.redactor.add(value.reveal())
        if state.value("secrets.keep") == "memory" and state.vault.lasting and not self._back.rehearsal:
            state.vault.use_memory()
        return state.vault

    async def kept_token(self) -> Secret | None:
        """Return the token that an earlier session kept, unless the environment gives one."""
        if any(self._back.environ.get(n) for n in TOKEN_VARIABLES):
            return None
        vault = await self.vault()
        try:
            kept = await asyncio.to_thread(vault.get, TOKEN)
        except VaultError:
            return None
        if kept is not None:
            self._state.redactor.add(kept.reveal())
        return kept

    async def keep_token(self, token: Secret) -> str:
        """Keep a token that was proven; return why it could not be kept, or empty."""
        vault = await self.vault()
        try:
            await asyncio.to_thread(vault.set, TOKEN, token)
        except VaultError as error:
            return f"{error.text}. {error.fix}".strip()
        return "" if vault.lasting or self._back.rehearsal else "it is kept for this run only: no keyring"

    async def prepare_fingerprints(self) -> None:
        """Make the key of the fingerprints, so that no step has to wait for the keyring. Raises VaultError."""
        vault = await self.vault()
        if vault.lasting:
            await asyncio.to_thread(fingerprint, vault, "", Secret(""))

    def fill_stand_ins(self) -> None:
        """Give a rehearsal the values that only the user can know."""
        stand_ins, state = self._back.stand_ins, self._state
        if stand_ins is None:
            return
        for field_id in SECRET_FIELDS:
            if field_id in stand_ins.secrets and state.secret(field_id) is None:
                self.take(field_id, stand_ins.secrets[field_id])
                state.stood_in.add(field_id)
        for item in state.items():
            if item.secret and item.origin in ("stand-in", "generated") and state.vault is not None:
                state.redactor.add(stand_ins.secret(item.name).reveal())

    def read_env_files(self, root: Path) -> None:
        """Read the repository's ``.env`` files; nothing is used of them without consent."""
        from flywizard import dotenv

        state = self._state
        if state.findings is None or state.from_files or not root.is_dir():
            return
        for path in state.findings.env_files:
            target = (root / path).resolve()
            if not target.is_relative_to(root.resolve()) or not target.is_file():
                continue
            try:
                read = dotenv.parse(target.read_bytes())
            except OSError as error:
                state.file_notes.append(f"{path} can't be read ({error.strerror or type(error).__name__})")
                continue
            state.file_notes += [f"{path}:{n.line}: {n.text}" for n in read.notices]
            for entry in read.entries:
                if entry.value is None or not entry.value:
                    continue
                if (
                    dotenv.is_placeholder(entry.value)
                    or dotenv.is_local(entry.name, entry.value)
                    or dotenv.is_dangerous(entry.name)
                ):
                    continue
                state.from_files[entry.name] = (f"{path}:{entry.line}", entry.value)
                if dotenv.secret_kind(entry.name, entry.value) == "secret":
                    state.redactor.add(entry.value.reveal())

    async def keep(self, page: Page) -> None:
        """Put what was entered, generated or taken from a file into the vault. Raises VaultError."""
        vault = await self.vault()
        state = self._state
        wanted: dict[str, Secret] = {}
        if page in ("broker", "database"):
            for field_id in SECRET_FIELDS:
                if field_id.startswith(page) and (value := state.entered(field_id)) is not None:
                    wanted[state.vault_name(field_id)] = value
        else:
            wanted = self._of_items()
        if not vault.lasting:
            state.in_memory |= set(state.unkept()) & set(wanted)
        await asyncio.to_thread(_put, vault, wanted)
        state.vault_names = frozenset(await asyncio.to_thread(vault.names))

    def _of_items(self) -> dict[str, Secret]:
        from flywizard import dotenv

        state, stand_ins = self._state, self._back.stand_ins
        wanted = {}
        for item in state.items():
            if not item.secret:
                continue
            if item.name in state.typed:
                wanted[item.name] = state.typed[item.name]
            elif item.origin == "env-file":
                wanted[item.name] = state.from_files[item.name][1]
            elif item.origin in ("generated", "stand-in"):
                new = stand_ins.secret(item.name) if stand_ins is not None else dotenv.generate_secret()
                state.redactor.add(new.reveal())
                wanted[item.name] = new
        return wanted


def _known(vault: LayeredVault, name: str) -> Secret | None:
    try:
        return vault.get(name)
    except VaultError:
        return None


def _put(vault: LayeredVault, values: dict[str, Secret]) -> None:
    for name, value in values.items():
        if _known(vault, name) != value:
            vault.set(name, value)


def _warm(vault: LayeredVault) -> frozenset[str]:
    """Read every name once; a keyring that answers slowly gives up by its own limit."""
    names = frozenset(vault.names())
    for name in names:
        _known(vault, name)
    return names


def _carry(before: LayeredVault, after: LayeredVault) -> None:
    """Take a token along when the project was given another name."""
    token = _known(before, TOKEN)
    if token is not None and _known(after, TOKEN) is None:
        try:
            after.set(TOKEN, token)
        except VaultError:
            return
