"""Text to syntax tree. Any text gives a Spec or a SpecError."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken
from lark.lark import PostLex

from mixerc import resources
from mixerc.diagnostics.diagnostic import Diagnostic, SpecError
from mixerc.frontend import errors_syntax as errors
from mixerc.frontend import lines
from mixerc.frontend.diagnose import character_error, token_error
from mixerc.frontend.syntax import Spec
from mixerc.frontend.tree import ToSyntax, to_span

# The stages recurse into expressions; this bound keeps them clear of Python's own.
DEEPEST = 100
MOST_ERRORS = 20


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
    tree = _tree(text, file)
    if place := _too_deep(tree):
        span = to_span(file, place.meta)
        raise SpecError((errors.nesting_too_deep(span, DEEPEST),))
    to_syntax = ToSyntax(file)
    spec = to_syntax.transform(tree)
    if to_syntax.mistakes:
        raise SpecError(tuple(to_syntax.mistakes))
    return replace(spec, comments=lines.comments(text, file))


def _tree(text: str, file: str) -> Tree[Token]:
    """Lark's tree. After an error it reads on without the statement in question."""
    found: list[Diagnostic] = []
    rest: str | None = text
    while rest is not None and len(found) < MOST_ERRORS:
        try:
            tree = language().parse(rest + "\n")
        except UnexpectedCharacters as error:
            diagnostic, line = character_error(error, rest, file)
        except UnexpectedToken as error:
            diagnostic, line = token_error(language(), error, rest, file)
        else:
            if not found:
                return tree
            break
        found.append(diagnostic)
        rest = None if line is None else lines.without_statement(rest, line)
    raise SpecError(tuple(dict.fromkeys(found)))


def _too_deep(tree: Tree[Token]) -> Tree[Token] | None:
    """A place that is nested deeper than DEEPEST, if there is one; without recursion."""
    pending = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > DEEPEST:
            return node
        children = (child for child in node.children if isinstance(child, Tree))
        pending.extend((child, depth + 1) for child in children)
    return None
