"""A service, a gateway before it, and taps that record what passes between them."""

import os
import tempfile

from rig import Programs
from tap import Tap


class Setup:
    """What is tested, and where run.sh has installed the packages."""

    pulsegate = place = None


def set_up(pulsegate, place):
    Setup.pulsegate, Setup.place = os.path.abspath(pulsegate), place


def routed(programs, addresses, more, settings):
    """A gateway with one route to these addresses."""
    upstreams = ", ".join(f'"http://{each}"' for each in addresses)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(f'[[route]]\nname = "chat"\nupstream = [{upstreams}]\n{more}')
        file.flush()
        return programs.start_gateway(Setup.pulsegate, CONFIG_FILE=file.name, **settings)


class Rig(Programs):
    """A service, a gateway before it, and taps: `front` before the gateway, `back` behind it."""

    def __init__(self, kind, **settings):
        super().__init__()
        self.kind, self.settings, self.front, self.back = kind(Setup.place), settings, Tap(), Tap()
        self.programs += [self.front, self.back]
        try:
            self.begin()
        except BaseException:
            self.__exit__()
            raise

    def begin(self):
        """Starts the service and the gateway, anew if they run already."""
        for tap in (self.front, self.back):
            tap.clear()
        self.service, self.back.target = self.kind.start(self)
        self.gateway = routed(self, [self.back.address], self.kind.route, self.settings)
        self.front.target = self.gateway.listen

    def client(self, **more):
        return self.kind.connect(self, self.front.address, **more)
