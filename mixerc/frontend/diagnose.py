"""From the parser's error to a diagnostic, and to the line whose statement is to blame."""

import re
from typing import TypeAlias

from lark import Lark, Token, UnexpectedCharacters, UnexpectedToken

from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_syntax as errors
from mixerc.frontend import lines, mistakes
from mixerc.frontend.lines import Bracket
from mixerc.frontend.tree import to_span

# A diagnostic, and a line of the statement that the parser can go on without, if there is one.
Finding: TypeAlias = tuple[Diagnostic, int | None]

WORD = re.compile(r"\w+")
OPERATORS = ("and", "or", "not", "in")
NAMED = {
    "_NEWLINE": "the end of the line",
    "_INDENT": "an indented line",
    "_DEDENT": "the end of the branch",
    "$END": "the end of the file",
    "CITATION": "a text in quotes",
    "COMMA": "a comma",
}
PARTS = {
    "NAME": "name",
    "NUMBER": "number",
    "LPAR": "bracket",
    "RPAR": "bracket",
    "LSQB": "bracket",
    "RSQB": "bracket",
}


def character_error(error: UnexpectedCharacters, text: str, file: str) -> Finding:
    """A character that begins no word of the language."""
    line = text.split("\n")[error.line - 1]
    start = error.column - 1
    character = error.char
    span = Span(
        file=file,
        line=error.line,
        column=error.column,
        end_line=error.line,
        end_column=error.column + 1,
    )
    if character == '"':
        return errors.unclosed_string(_to_end(span, line)), error.line
    if character.isalpha():
        before = re.search(r"\w*\Z", line[:start])
        after = WORD.match(line, start)
        word = (before[0] if before else "") + (after[0] if after else character)
        return errors.non_ascii_name(span, word), error.line
    return errors.unknown_character(span, character), error.line


def token_error(language: Lark, error: UnexpectedToken, text: str, file: str) -> Finding:
    """A word that cannot stand where it stands."""
    token = error.token
    written = text.split("\n")
    line = min(token.line or 1, len(written))
    opened = lines.open_brackets(written, line, token.column or 1)
    if opened and _is_over(token, opened[-1], written):
        return _never_closed(token, opened[-1], file), opened[-1].line
    diagnostic = (
        _of_bracket(error, opened, file)
        or _of_keyword(error, text, file)
        or _of_line(error, written, file)
    )
    if diagnostic is None:
        diagnostic = _of_example(language, error, text, file)
    # What begins a line wrongly has to do with the lines above, so nothing below is certain.
    first = not written[line - 1][: (token.column or 1) - 1].strip()
    return diagnostic, None if first else line


def _is_over(token: Token, opener: Bracket, written: list[str]) -> bool:
    """Whether the statement seems to be over, though a bracket is open."""
    if token.type == "$END":
        return True
    line = written[(token.line or 1) - 1]
    before = line[: (token.column or 1) - 1]
    opening_line = written[opener.line - 1]
    if token.type == "EQUAL":
        closed = lines.PAIRS[opener.text] in line[len(before) :]
        return not closed and (opener.text == "[" or opener.line < (token.line or 1))
    return (
        opener.line < (token.line or 1)
        and not before.strip()
        and not lines.CONTINUES.match(line)
        and lines.indent(line) <= lines.indent(opening_line)
    )


def _never_closed(token: Token, opener: Bracket, file: str) -> Diagnostic:
    return errors.missing_close(
        _bracket_span(opener, file), opener.text, lines.PAIRS[opener.text], in_words(token)
    )


def _bracket_span(bracket: Bracket, file: str) -> Span:
    return Span(
        file=file,
        line=bracket.line,
        column=bracket.column,
        end_line=bracket.line,
        end_column=bracket.column + 1,
    )


def _of_bracket(error: UnexpectedToken, opened: list[Bracket], file: str) -> Diagnostic | None:
    """A bracket closes none, or one of the other kind."""
    token = error.token
    if token.type not in ("RPAR", "RSQB"):
        return None
    span = to_span(file, token)
    if not opened:
        return errors.unmatched_close(span, str(token))
    expected = lines.PAIRS[opened[-1].text]
    if expected == token or not error.accepts & {"RPAR", "RSQB"}:
        return None
    return errors.mismatched_close(span, str(token), _bracket_span(opened[-1], file), expected)


def _of_keyword(error: UnexpectedToken, text: str, file: str) -> Diagnostic | None:
    """A keyword stands where a name can stand."""
    token = error.token
    span = to_span(file, token)
    if token.type in ("MIXER", "STACK") and (token.line or 1) > 1:
        return errors.second_header(span)
    if _is_keyword(token) and token not in OPERATORS and "NAME" in error.accepts:
        return errors.keyword_as_name(span, str(token))
    before = lines.last_lexeme(text[: token.start_pos])
    if token.type == "LSQB" and before.isalpha() and "NAME" in error.accepts:
        start = (token.column or 1) - len(before)
        named = Span(
            file=file,
            line=span.line,
            column=start,
            end_line=span.line,
            end_column=start + len(before),
        )
        return errors.keyword_as_name(named, before)
    return None


def _is_keyword(token: Token) -> bool:
    return token.type != "NAME" and token.isalpha()


def _of_line(error: UnexpectedToken, written: list[str], file: str) -> Diagnostic | None:
    """A line is indented that must not be, or goes on where it could end."""
    token = error.token
    if token.type == "_INDENT":
        return errors.indented_line(_place(token, written, file))
    value = token.type in ("NAME", "NUMBER", "TIME") or (
        _is_keyword(token) and token not in OPERATORS
    )
    if value and "VBAR" in error.accepts and "_NEWLINE" in error.accepts:
        return errors.two_statements(to_span(file, token), in_words(token))
    return None


def _of_example(language: Lark, error: UnexpectedToken, text: str, file: str) -> Diagnostic:
    """What the examples say; the mere word where they say nothing."""
    token = error.token
    span = _place(token, text.split("\n"), file)
    found = in_words(token)
    if mistake := mistakes.find(language, error):
        return mistake.diagnostic(span, found, lines.last_lexeme(text[: token.start_pos]))
    if token.type in ("NAME", "NUMBER", "TIME") and "PLUS" in error.accepts:
        return errors.two_statements(span, found)
    return errors.unexpected(span, found)


def in_words(token: Token) -> str:
    """A word of the text, for a message."""
    if token.type in NAMED:
        return NAMED[token.type]
    if _is_keyword(token):
        return f"the keyword `{token}`"
    shown = str(token) if len(token) <= 20 else f"{token[:20]}…"
    return f"the {PARTS.get(token.type, 'sign')} `{shown}`"


def _place(token: Token, written: list[str], file: str) -> Span:
    """Where to point for a word, for the end of a line, and for an indentation."""
    match token.type:
        case "_INDENT" | "_DEDENT":
            line, column = token.end_line or 1, token.end_column or 1
            start = Span(file=file, line=line, column=column, end_line=line, end_column=column + 1)
            return _to_end(start, written[min(line, len(written)) - 1])
        case "_NEWLINE" | "$END":
            line = min(token.line or 1, len(written))
            end = len(lines.code(written[line - 1]).rstrip()) + 1
            return Span(file=file, line=line, column=end, end_line=line, end_column=end + 1)
        case _:
            return to_span(file, token)


def _to_end(span: Span, line: str) -> Span:
    """A span that goes on to the end of what its line says."""
    end = max(len(lines.code(line).rstrip()) + 1, span.column + 1)
    return Span(
        file=span.file,
        line=span.line,
        column=span.column,
        end_line=span.line,
        end_column=end,
    )
