"""What moderators read in the forms where they set something. Pure.

Discord takes 45 characters for a form's title and labels, and 100 for what is under a label.
"""

from bot.chat.admission.sentences import channels_listed, roles_listed
from storage.acts import ServerRules


def why() -> str:
    return "Why"


def for_the_log() -> str:
    return "Optional; for the log"


def who_may() -> str:
    return "Who may ask and vote, and where"


def may_ask() -> str:
    return "Roles that may ask for images"


def ask_in() -> str:
    return "Channels where images may be asked for"


def may_vote() -> str:
    return "Roles that may vote"


def vote_in() -> str:
    return "Channels where votes count"


def all_members() -> str:
    return "None chosen: all members may"


def all_channels() -> str:
    return "None chosen: in all channels"


def access(rules: ServerRules) -> str:
    """Who may ask and vote, and where."""
    everybody = "everybody"
    everywhere = "in all channels"
    asking = roles_listed(rules.asking_roles) or everybody
    voting = roles_listed(rules.voting_roles) or everybody
    asking_in = channels_listed(rules.asking_channels) or everywhere
    voting_in = channels_listed(rules.voting_channels) or everywhere

    return f"May ask: {asking}, {asking_in}.\nMay vote: {voting}, {voting_in}."
