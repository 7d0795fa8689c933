"""Everyday words, and the one emoji that each of them means.

Many emoji fit "cat" or "flower". A model that learns all of them for one word draws their mixture,
so these words, the commonest nouns for things that have an emoji, mean the everyday one.
"""

from collections.abc import Mapping

EVERYDAY: Mapping[str, str] = {
    word: label
    for label, words in {
        # animals
        "cat": ("cat", "kitten", "kitty"), "dog": ("dog", "puppy", "doggy"),
        "horse": ("horse", "pony"), "cow": ("cow",), "pig": ("pig", "piglet"),
        "ewe": ("sheep", "lamb"), "goat": ("goat",), "chicken": ("chicken", "hen"),
        "duck": ("duck",), "bird": ("bird",), "fish": ("fish",), "mouse": ("mouse",),
        "rabbit": ("rabbit", "bunny"), "bear": ("bear",), "lion": ("lion",), "tiger": ("tiger",),
        "elephant": ("elephant",), "monkey": ("monkey",), "wolf": ("wolf",), "fox": ("fox",),
        "frog": ("frog", "toad"), "snake": ("snake",), "turtle": ("turtle", "tortoise"),
        "honeybee": ("bee",), "bug": ("caterpillar", "bug"), "spider": ("spider",),
        "butterfly": ("butterfly",), "ant": ("ant",), "whale": ("whale",), "shark": ("shark",),
        "dolphin": ("dolphin",), "owl": ("owl",), "penguin": ("penguin",), "dragon": ("dragon",),
        "unicorn": ("unicorn",), "T-Rex": ("dinosaur",), "camel": ("camel",), "zebra": ("zebra",),
        "giraffe": ("giraffe",), "deer": ("deer",), "octopus": ("octopus",), "crab": ("crab",),
        "snail": ("snail",),
        # plants and food
        "rose": ("rose", "roses"), "sunflower": ("sunflower",), "tulip": ("tulip", "flower"),
        "deciduous tree": ("tree",), "evergreen tree": ("pine", "fir"), "cactus": ("cactus",),
        "maple leaf": ("leaf",), "mushroom": ("mushroom",), "red apple": ("apple",),
        "banana": ("banana",), "tangerine": ("orange",), "lemon": ("lemon",), "pear": ("pear",),
        "peach": ("peach",), "cherries": ("cherry", "cherries"), "strawberry": ("strawberry",),
        "grapes": ("grape", "grapes"), "watermelon": ("watermelon",), "pineapple": ("pineapple",),
        "tomato": ("tomato",), "potato": ("potato",), "carrot": ("carrot",), "onion": ("onion",),
        "ear of corn": ("corn",), "bread": ("bread",), "cheese wedge": ("cheese",),
        "egg": ("egg",), "cut of meat": ("meat", "steak"), "hamburger": ("hamburger", "burger"),
        "french fries": ("fries", "chips"), "pizza": ("pizza",), "sandwich": ("sandwich",),
        "birthday cake": ("cake",), "cookie": ("cookie", "biscuit"), "doughnut": ("donut",),
        "ice cream": ("ice cream",), "chocolate bar": ("chocolate",), "candy": ("sweet", "candy"),
        "hot beverage": ("coffee", "cup of coffee", "tea"), "glass of milk": ("milk",),
        "beer mug": ("beer",), "wine glass": ("wine",), "steaming bowl": ("soup",),
        "cooked rice": ("rice",), "honey pot": ("honey",),
        # nature and weather
        "sun": ("sun",), "crescent moon": ("moon",), "star": ("star",), "cloud": ("cloud",),
        "rainbow": ("rainbow",), "cloud with rain": ("rain",), "snowflake": ("snow",),
        "snowman": ("snowman",), "fire": ("fire", "flame"), "water wave": ("wave", "sea", "water"),
        "mountain": ("mountain", "hill"), "volcano": ("volcano",), "high voltage": ("lightning",),
        "globe showing Europe-Africa": ("world", "earth", "globe"),
        # places and vehicles
        "house": ("house", "home"), "office building": ("building",), "castle": ("castle",),
        "church": ("church",), "school": ("school",), "hospital": ("hospital",), "tent": ("tent",),
        "automobile": ("car",), "bus": ("bus",), "delivery truck": ("truck",), "train": ("train",),
        "tractor": ("tractor",), "bicycle": ("bicycle", "bike"), "motorcycle": ("motorbike",),
        "airplane": ("airplane", "plane"), "helicopter": ("helicopter",), "rocket": ("rocket",),
        "sailboat": ("boat",), "ship": ("ship",), "anchor": ("anchor",),
        # things
        "alarm clock": ("clock",), "watch": ("watch",), "key": ("key",), "locked": ("lock",),
        "door": ("door",), "window": ("window",), "chair": ("chair",), "bed": ("bed",),
        "light bulb": ("lamp", "light"), "candle": ("candle",), "umbrella": ("umbrella",),
        "open book": ("book",), "pencil": ("pencil",), "envelope": ("letter", "mail"),
        "scissors": ("scissors",), "hammer": ("hammer",), "axe": ("axe",), "bomb": ("bomb",),
        "kitchen knife": ("knife",), "spoon": ("spoon",), "telephone": ("telephone",),
        "mobile phone": ("phone",), "laptop": ("computer",), "television": ("tv", "television"),
        "camera": ("camera",), "guitar": ("guitar",), "violin": ("violin",), "drum": ("drum",),
        "trumpet": ("trumpet",), "bell": ("bell",), "soccer ball": ("ball", "football"),
        "basketball": ("basketball",), "trophy": ("trophy", "cup"), "balloon": ("balloon",),
        "wrapped gift": ("gift", "present"), "crown": ("crown",), "ring": ("ring",),
        "gem stone": ("diamond",), "glasses": ("glasses",), "top hat": ("hat",),
        "t-shirt": ("shirt",), "jeans": ("trousers", "pants"), "dress": ("dress",),
        "coat": ("coat",), "man’s shoe": ("shoe",), "hiking boot": ("boot",),
        "backpack": ("backpack",), "handbag": ("bag",), "money bag": ("money",),
        "coin": ("coin",), "magnet": ("magnet",), "teddy bear": ("teddy",), "kite": ("kite",),
        "bathtub": ("bath",), "toilet": ("toilet",), "soap": ("soap",), "pill": ("pill",),
        # people
        "baby": ("baby",), "boy": ("boy",), "girl": ("girl",), "man": ("man",), "woman": ("woman",),
        "old man": ("grandfather",), "old woman": ("grandmother",), "prince": ("prince",),
        "princess": ("princess", "queen"), "person with crown": ("king",), "cook": ("cook", "chef"),
        "police officer": ("policeman", "police"), "health worker": ("doctor", "nurse"),
        "Santa Claus": ("santa",), "ghost": ("ghost",), "robot": ("robot",), "skull": ("skull",),
        "eye": ("eye",), "ear": ("ear",), "nose": ("nose",), "foot": ("foot",), "bone": ("bone",),
        "waving hand": ("hand",), "red heart": ("heart",), "tooth": ("tooth",),
    }.items()
    for word in words
}  # fmt: skip
"""From a word, in lower case, to the label of the emoji that it means."""
