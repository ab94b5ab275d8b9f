"""Owns the shell completions, made from the commands and flags."""

from __future__ import annotations

from flywizard.cli_words import COMMANDS


def _flags(command: str) -> list[str]:
    from flywizard.cli_options import parser

    return sorted(o for a in parser(command)._actions for o in a.option_strings if o.startswith("--"))


def script(shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    match shell:
        case "bash":
            return _bash()
        case "zsh":
            return "#compdef flywizard\nautoload -U +X bashcompinit && bashcompinit\n" + _bash()
        case _:
            return _fish()


def _bash() -> str:
    cases = "\n".join(f'    {c}) words="{" ".join(_flags(c))}" ;;' for c in COMMANDS if c != "completion")
    return f"""\
_flywizard() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words
  case "${{COMP_WORDS[1]}}" in
{cases}
    completion) words="bash zsh fish" ;;
    *) words="{" ".join(COMMANDS)} {" ".join(_flags(""))}" ;;
  esac
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
  [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=( $(compgen -f -- "$current") )
}}
complete -F _flywizard flywizard
"""


def _fish() -> str:
    lines = ["complete -c flywizard -f -n __fish_use_subcommand -a '(__fish_complete_directories)'"]
    for name, text in COMMANDS.items():
        lines.append(f"complete -c flywizard -n __fish_use_subcommand -a {name} -d '{text}'")
        if name == "completion":
            lines.append(
                "complete -c flywizard -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'"
            )
            continue
        for flag in _flags(name):
            lines.append(f"complete -c flywizard -n '__fish_seen_subcommand_from {name}' -l {flag[2:]}")
    return "\n".join(lines) + "\n"
