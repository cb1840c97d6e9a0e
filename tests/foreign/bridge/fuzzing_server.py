# -*- coding: utf-8 -*-
# Python 2.7. `wstest -m fuzzingserver -s SPEC`, but on loopback only and on a free port, whatever the spec's url says. The suite
# would listen on all addresses, where a port is in use also if only a client on another address has it. Says on stderr where it
# listens.
import os
import sys

from autobahntestsuite import wstest           # first: installs the epoll reactor
from twisted.internet import reactor

listen_tcp = reactor.listenTCP


def listen(port, factory, backlog=50, interface=""):
    listener = listen_tcp(0, factory, backlog, "127.0.0.1")
    factory.port = factory.externalPort = listener.getHost().port
    sys.stderr.write("listen=127.0.0.1:%d\n" % factory.port)
    return listener


reactor.listenTCP = listen
# It says on stdout what it does.
sys.stdout = open(os.devnull, "w")
sys.argv = ["wstest", "-m", "fuzzingserver", "-s", sys.argv[1], "-u", "0"]
sys.exit(wstest.run())
