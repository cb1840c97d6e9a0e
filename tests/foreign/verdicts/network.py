"""A network of namespaces: a core, in which the gateways run, a router, and devices with links of their own.

    core 10.99.0.1 -- router -- one link for each device

What is cut is dropped by the router, which is no end of any connection: neither the gateway's kernel
nor the device's hears of it.
"""

import os
import re
import subprocess
import threading

from harness import expect, until

CORE = "10.99.0.1"
ROUTER = "10.99.0.2"

PATH_RULES = """
table ip path {
    set cut { type ifname; counter; }
    chain forward {
        type filter hook forward priority 0;
        iifname @cut drop
        oifname @cut drop
    }
}
"""

# A NAT that has forgotten a connection does not take it up again in the middle.
NAT_RULES = """
table ip nat {
    chain post {
        type nat hook postrouting priority 100;
        oifname "out" masquerade
    }
}
table ip forgotten {
    counter forgotten_packets { }
    chain input {
        type filter hook input priority 0;
        iifname "out" meta l4proto tcp ct state { new, invalid } counter name forgotten_packets REFUSE
    }
    chain forward {
        type filter hook forward priority 0;
        meta l4proto tcp ct state invalid counter name forgotten_packets REFUSE
    }
}
"""


def run(*command, feed=None, strict=True):
    done = subprocess.run(command, input=feed, capture_output=True, text=True)
    expect(done.returncode == 0 or not strict, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Namespace:
    """A network namespace, which lives as long as a process in it: one that ends with this one."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        self.holder = subprocess.Popen(["unshare", "-n", "cat"], **pipes)
        self.inside = ("nsenter", "-t", str(self.holder.pid), "-n")
        own, here = f"/proc/{self.holder.pid}/ns/net", os.readlink("/proc/self/ns/net")
        until(20, "a namespace", lambda: os.readlink(own) != here)
        self.ip("link set lo up")

    def run(self, *command, feed=None, strict=True):
        return run(*self.inside, *command, feed=feed, strict=strict)

    def ip(self, *lines):
        """Runs commands of ip(8)."""
        self.run("ip", "-batch", "-", feed="\n".join(lines) + "\n")

    def set(self, **values):
        """Sets values of the kernel: `net.` is left out, and two underscores are a dot."""
        pairs = (f"net.{name.replace('__', '.')}={value}" for name, value in values.items())
        self.run("sysctl", "-qw", *pairs)

    def stop(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdin.close()


class Network:
    """The core, which is the namespace of this process, and the router."""

    def __init__(self):
        self.count, self.lock = 0, threading.Lock()
        self.router = Namespace()
        run("ip", "-batch", "-", feed=f"""link set lo up
            link add core type veth peer name core netns {self.router.holder.pid}
            address add {CORE}/24 dev core
            link set core up
            route add 10.0.0.0/8 via {ROUTER}
        """)
        self.router.ip(f"address add {ROUTER}/24 dev core", "link set core up")
        # A device that has changed networks cannot speak for its old address from the new one.
        self.router.set(ipv4__ip_forward=1, ipv4__conf__all__rp_filter=1)
        self.router.run("nft", "-f", "-", feed=PATH_RULES)

    def link(self, space, name="wifi"):
        """A new link from the router to a namespace, which gets an address and a default route."""
        with self.lock:
            self.count += 1
            number = self.count
        return Link(self.router, space, number, name)

    def stop(self):
        self.router.stop()


class Link:
    """A link of a device, with a block of addresses of its own."""

    def __init__(self, router, space, number, name):
        self.router, self.space, self.name = router, space, f"l{number}"
        block = f"10.{100 + number // 250}.{number % 250}"
        self.gate, self.address, self.far = f"{block}.1", f"{block}.2", name
        router.ip(
            f"link add {self.name} type veth peer name {name} netns {space.holder.pid}",
            f"address add {self.gate}/24 dev {self.name}",
            f"link set {self.name} up",
        )
        space.ip(f"address add {self.address}/24 dev {name}", f"link set {name} up")
        if number_of_routes(space) == 0:
            space.ip(f"route add default via {self.gate}")

    def cut(self):
        self.router.run("nft", "add", "element", "ip", "path", "cut", f"{{ {self.name} }}")

    def mend(self):
        """Ends the cut. Returns how many packets it has dropped."""
        dropped = self.dropped()
        self.router.run("nft", "delete", "element", "ip", "path", "cut", f"{{ {self.name} }}")
        return dropped

    def dropped(self):
        found = re.search(
            rf'"{self.name}" counter packets (\d+)',
            self.router.run("nft", "list", "set", "ip", "path", "cut"),
        )
        return int(found[1]) if found else 0

    def take_over(self):
        """Leads all that the device sends from now on through this link."""
        self.space.ip(f"route replace default via {self.gate}")

    def slow(self, kbits, limit, how="add"):
        """Slows down what the device receives. The link queues so many bytes, and drops others."""
        shape = ("tbf", "rate", f"{kbits}kbit", "burst", "3000", "limit", str(limit))
        self.router.run("tc", "qdisc", how, "dev", self.name, "root", *shape)

    def hasten(self):
        """Ends the slowness. Returns how often a packet had to wait or was dropped."""
        seen = self.router.run("tc", "-s", "qdisc", "show", "dev", self.name)
        self.router.run("tc", "qdisc", "del", "dev", self.name, "root")
        found = re.search(r"dropped (\d+), overlimits (\d+)", seen)
        return int(found[1]) + int(found[2]) if found else 0

    def restore(self):
        """Makes it whole again, whatever was done to it."""
        cut = ("nft", "delete", "element", "ip", "path", "cut", f"{{ {self.name} }}")
        self.router.run(*cut, strict=False)
        self.router.run("tc", "qdisc", "del", "dev", self.name, "root", strict=False)
        self.take_over()

    def remove(self):
        """Removes what is left of it: the kernel removes a link whose namespace is gone, a little later."""
        self.router.run("ip", "-force", "-batch", "-", feed=f"link del {self.name}\n", strict=False)


class Nat:
    """A router of its own that hides the devices behind it, and forgets connections that are idle."""

    def __init__(self, network, idle_s, is_silent):
        self.space, self.inner = Namespace(), Namespace()
        self.link = network.link(self.space, "out")
        self.space.ip(
            f"link add in type veth peer name wifi netns {self.inner.holder.pid}",
            "address add 192.168.1.1/24 dev in",
            "link set in up",
        )
        self.inner.ip(
            "address add 192.168.1.2/24 dev wifi", "link set wifi up", "route add default via 192.168.1.1"
        )
        refuse = "drop" if is_silent else "reject with tcp reset"
        self.space.run("nft", "-f", "-", feed=NAT_RULES.replace("REFUSE", refuse))
        self.space.set(
            ipv4__ip_forward=1,
            netfilter__nf_conntrack_tcp_timeout_established=idle_s,
            netfilter__nf_conntrack_tcp_loose=0,
        )

    def refused(self):
        """How many packets of forgotten connections came."""
        seen = self.space.run("nft", "list", "counter", "ip", "forgotten", "forgotten_packets")
        return int(re.search(r"packets (\d+)", seen)[1])

    def stop(self):
        self.inner.stop()
        self.space.stop()
        self.link.remove()


def number_of_routes(space):
    return space.run("ip", "route", "show", "default").count("default")


def missing():
    """What this machine lacks or does not allow, or None."""
    probe = (
        "ip link add probe type veth peer name probe2 && nft add table ip probe"
        " && tc qdisc add dev probe root tbf rate 1mbit burst 3000 limit 30000"
        " && sysctl -qw net.ipv4.ip_forward=1"
    )
    tried = subprocess.run(["unshare", "-n", "sh", "-c", probe], capture_output=True, text=True)
    return tried.stderr.strip() or "unshare -n" if tried.returncode else None
