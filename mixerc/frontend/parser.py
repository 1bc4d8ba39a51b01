"""Text to syntax tree. Any text gives a Spec or a SpecError."""

from collections.abc import Iterator
from functools import cache

from lark import Lark, Token, Tree, UnexpectedInput
from lark.lark import PostLex

from mixerc import resources
from mixerc.diagnostics.diagnostic import Diagnostic, SpecError
from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_syntax as errors
from mixerc.frontend.syntax import Spec
from mixerc.frontend.tree import ToSyntax

# The stages recurse into expressions; this bound keeps them clear of Python's own.
DEEPEST = 100


class Lines(PostLex):
    """Drops the line ends within brackets, and marks where the lines of a branch begin and end."""

    always_accept = ("_NEWLINE",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens, with _INDENT and _DEDENT among them."""
        brackets = 0
        indents = [0]
        for token in stream:
            match token.type:
                case "_NEWLINE":
                    if brackets == 0:
                        yield token
                        yield from self._indentation(token, indents)
                    continue
                case "LPAR" | "LSQB":
                    brackets += 1
                case "RPAR" | "RSQB":
                    brackets -= 1
            yield token

    def _indentation(self, newline: Token, indents: list[int]) -> Iterator[Token]:
        blanks = newline.rpartition("\n")[2].expandtabs(8)
        while len(blanks) < indents[-1]:
            indents.pop()
            yield Token.new_borrow_pos("_DEDENT", "", newline)
        if len(blanks) > indents[-1]:
            indents.append(len(blanks))
            yield Token.new_borrow_pos("_INDENT", "", newline)


@cache
def language() -> Lark:
    """The parser of the grammar."""
    return Lark(
        resources.read("grammar", "mix.lark"),
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=True,
        postlex=Lines(),
    )


def parse(text: str, file: str) -> Spec:
    """The spec that a text is; SpecError, with all that is wrong, where it is none."""
    try:
        tree = language().parse(text + "\n")
    except UnexpectedInput as error:
        span = Span(
            file=file,
            line=error.line,
            column=error.column,
            end_line=error.line,
            end_column=error.column + 1,
        )
        raise SpecError((Diagnostic(slug="syntax", message="unexpected", span=span),)) from None
    to_syntax = ToSyntax(file)
    spec = to_syntax.transform(tree)
    if to_syntax.mistakes:
        raise SpecError(tuple(to_syntax.mistakes))
    return spec
