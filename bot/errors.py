"""Why a command of the shell failed. The message is one sentence for the operator.

::

    Exception
    ├── CannotConnect   Discord could not be reached
    ├── NotRunning      no bot runs on the data folder
    ├── ControlFailed   the running bot could not answer, or refused
    ├── CannotReplay    the image could not be made again
    ├── UnusableText    a text that members cannot be shown
    ├── CannotTune      no model was tuned
    └── CannotDemo      the demo cannot start

`bot.settings.SettingsError` and the errors of `storage` reach the shell too.
"""


class CannotConnect(Exception):
    """Discord could not be reached; trying again later may help."""


class NotRunning(Exception):
    """No bot runs on the data folder."""


class ControlFailed(Exception):
    """The running bot could not answer, or refused."""


class CannotReplay(Exception):
    """The image could not be made again, so nothing was compared."""


class UnusableText(Exception):
    """A text that members cannot be shown."""


class CannotTune(Exception):
    """No model was tuned; the message says what to do."""


class CannotDemo(Exception):
    """The demo cannot start; the message says what to do."""
