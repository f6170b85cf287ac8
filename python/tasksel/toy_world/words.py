"""The vocabulary of the toy world: common words, with the relations that the lookup tasks ask for."""

from __future__ import annotations


def split_words(text: str, separator: str = " ") -> tuple[str, ...]:
    """Split a line of words."""
    return tuple(text.split(separator))


def split_pairs(text: str) -> dict[str, str]:
    """Read a line of ``key:value`` pairs."""
    return dict(pair.split(":") for pair in text.split())


ANIMALS = split_words("cat dog cow pig hen horse sheep goat duck lion bear frog")
FRUITS = split_words("apple pear plum grape lemon lime peach cherry melon mango fig kiwi")
COLORS = split_words("red blue green yellow black white brown pink gray orange purple gold")
TOOLS = split_words("hammer saw drill axe rake shovel wrench file pliers ladder chisel level")
CLOTHES = split_words("hat coat shirt sock shoe glove scarf dress belt skirt boot vest")
NOUNS = ANIMALS + FRUITS + CLOTHES

CATEGORIES = {"animal": ANIMALS, "fruit": FRUITS, "color": COLORS, "tool": TOOLS, "clothes": CLOTHES}

FIRST_NAMES = split_words("Anna Ben Carl Dora Emma Fred Gina Hugo Ida Jack Kate Leo")
LAST_NAMES = split_words("Adams Brown Clark Davis Evans Ford Green Hill Jones King Lee Moore")

MONTHS = split_words("January February March April May June July August September October November December")
NUMBER_WORDS = split_words("zero one two three four five six seven eight nine ten eleven twelve")

OPPOSITES = split_pairs(
    "hot:cold big:small tall:short wet:dry fast:slow rich:poor hard:soft light:dark old:young "
    "full:empty loud:quiet open:closed"
)
PLURALS = split_pairs(
    "mouse:mice foot:feet tooth:teeth man:men child:children leaf:leaves knife:knives "
    "wolf:wolves city:cities baby:babies box:boxes bus:buses"
)
PAST_TENSES = split_pairs(
    "go:went eat:ate see:saw run:ran take:took give:gave sing:sang write:wrote buy:bought "
    "think:thought fly:flew know:knew"
)
CAPITALS = split_pairs(
    "France:Paris Spain:Madrid Italy:Rome Germany:Berlin Japan:Tokyo Russia:Moscow Egypt:Cairo "
    "Greece:Athens Austria:Vienna Norway:Oslo Sweden:Stockholm China:Beijing"
)
YOUNG = split_pairs(
    "dog:puppy cat:kitten cow:calf hen:chick sheep:lamb horse:foal pig:piglet duck:duckling "
    "goat:kid bear:cub deer:fawn swan:cygnet"
)
SOUNDS = split_pairs(
    "dog:barks cat:meows cow:moos hen:clucks sheep:bleats horse:neighs pig:oinks duck:quacks "
    "lion:roars wolf:howls bear:growls frog:croaks"
)
ROMAN_NUMERALS = split_words("I II III IV V VI VII VIII IX X XI XII")
# Arbitrary on purpose: nothing but labels can teach it.
SECRET_NAMES = split_pairs(
    "red:tam blue:lor green:sip yellow:dax black:wug white:fep brown:zol pink:mib gray:nat "
    "orange:kev purple:rud gold:pon"
)

WEEKDAYS = split_words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COUNTRIES = {city: country for country, city in CAPITALS.items()}
KINDS = {word: kind for kind, members in CATEGORIES.items() for word in members}
# The radio alphabet: the first letter of a code word is the letter that it stands for.
CODE_WORDS = {
    word[0]: word
    for word in split_words(
        "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa "
        "quebec romeo sierra tango uniform victor whiskey xray yankee zulu"
    )
}
