"""Owns the one-row text input: compact, without a blinking cursor."""

from __future__ import annotations

from textual.widgets import Input


class Entry(Input):
    """An Input of one row whose cursor stands still, and whose text is not selected when it gets the focus."""

    def __init__(
        self,
        value: str = "",
        *,
        placeholder: str = "",
        secret: bool = False,
        digits: bool = False,
        ident: str | None = None,
        classes: str = "field",
    ) -> None:
        super().__init__(
            value,
            placeholder=placeholder,
            password=secret,
            type="integer" if digits else "text",
            compact=True,
            select_on_focus=False,
            id=ident,
            classes=classes,
        )
        self.set_reactive(Input.cursor_blink, False)
