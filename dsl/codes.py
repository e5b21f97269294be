"""Every diagnostic code, with a title. `docs/errors.md` and the pinned programs in `tests/diagnostics` go by it."""

CODES: dict[str, str] = {
    # the file and its characters
    "E001": "the file does not exist",
    "E002": "the file cannot be read",
    "E003": "the file is not UTF-8",
    "E004": "the file is empty",
    "E005": "a character that the language does not have",
    # syntax
    "E101": "something else was expected here",
    "E102": "a brace is missing",
    "E103": "nested too deeply",
    "E104": "a text without its closing quote",
    "E105": "an escape that the language does not have",
    "E106": "a malformed number",
    "E107": "a malformed size",
    "E108": "another version of the language",
    "E109": "a keyword where a name is needed",
    "E110": "too many errors",
    # names
    "E201": "no such parameter or constant",
    "E202": "no such kind",
    "E203": "no such layer",
    "E204": "a name given twice",
    "E205": "a reference forward",
    "E206": "a constant that needs itself",
    "E207": "a stage that instantiates itself",
    "E208": "a reserved name",
    "E209": "no network",
    "E210": "a second network",
    "E211": "a second train block",
    "E212": "a network without an input",
    "E213": "an input where none can be",
    "E214": "a stage without a layer",
    # arguments and values
    "E301": "no such argument",
    "E302": "an argument given twice",
    "E303": "a missing argument",
    "E304": "too many arguments",
    "E305": "a value of the wrong type",
    "E306": "a value out of range",
    "E307": "division by zero",
    "E308": "a number or size that cannot be",
    "E311": "a positional argument behind a named one",
    # shapes
    "E401": "a field larger than what it reads",
    "E402": "extents that do not agree",
    "E403": "a decoder of something of another extent",
    "E404": "an even field",
    "E405": "nothing to read",
    # objectives and training
    "E501": "an objective without what it needs",
    "E502": "a decoder of something that is no local layer",
    "E503": "nothing to smooth",
    "E504": "no vector of classes",
    "E510": "no such setting",
    "E511": "something that cannot be set",
    "E512": "another size than the input's",
    "E513": "settings that contradict each other",
    # limits and plans
    "E601": "too many layers",
    "E602": "too many parameters",
    "E605": "no readable plan",
    # running
    "E720": "something that the network does not have",
    # warnings
    "W201": "a layer that nothing reads",
}
