"""Escape any printable text for LaTeX, so that it prints letter by letter without a package."""

import unicodedata

_LETTERS = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",  # babel makes it a command in some languages
    "`": r"\symbol{96}",
    "-": "{-}",  # two in a row would become a dash
    "\u2013": "--",
    "\u2014": "---",
    "×": r"$\times$",
    "±": r"$\pm$",
    "\u2212": "$-$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "°": r"$^{\circ}$",
    "µ": r"$\mu$",
    "ß": r"{\ss}",
    "æ": r"{\ae}",
    "ø": r"{\o}",
    "å": r"{\aa}",
    "ł": r"{\l}",
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030c": "v", "\u0327": "c"}
"""Combining mark → accent of LaTeX."""
_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu", "xi", "pi"),
    *("rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
    *("Gamma", "Delta", "Theta", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"),
)
_LETTERS |= {
    unicodedata.lookup(f"GREEK {'SMALL' if name.islower() else 'CAPITAL'} LETTER {name}"): f"$\\{name}$"
    for name in _GREEK
}
# Unicode spells this letter LAMDA.
_LETTERS |= {"λ": r"$\lambda$", "Λ": r"$\Lambda$"}


def escape_latex(text: str) -> str:
    """Return the text escaped; a letter that plain LaTeX has no font for becomes its number, such as U+4E2D."""
    return "".join(map(_letter, unicodedata.normalize("NFC", text)))


def _letter(letter: str) -> str:
    if letter in _LETTERS or letter.isascii():
        return _LETTERS.get(letter, letter)
    base, marks = (parts := unicodedata.normalize("NFD", letter))[0], parts[1:]
    if base.isascii() and marks in _ACCENTS:
        return f"\\{_ACCENTS[marks]}{{{base}}}"
    return f"U+{ord(letter):04X}"
