"""What pymemcache sees: said to ours and to memcached, and compared by the test."""
import sys

from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

host, port = sys.argv[1].rsplit(":", 1)
address = (host, int(port))
client = Client(address, timeout=10, connect_timeout=10, default_noreply=False)


def told(function, *arguments, **named):
    try:
        result = function(*arguments, **named)
    except (MemcacheClientError, MemcacheServerError) as error:
        result = "%s: %s" % (type(error).__name__, error)
    print(function.__name__, repr(arguments[:1])[:60], repr(result)[:200])


told(client.flush_all)
told(client.set, "a", b"one")
told(client.get, "a")
told(client.gets, "a")
told(client.get, "missing")
told(client.set, "a", b"two", expire=100, flags=7)
told(client.set, "gone", b"x", expire=-1)
told(client.get, "gone")
told(client.add, "a", b"x")
told(client.add, "b", b"added")
told(client.replace, "c", b"x")
told(client.replace, "b", b"replaced")
told(client.append, "b", b">")
told(client.prepend, "b", b"<")
told(client.get_many, ["a", "b", "c"])
told(client.gets_many, ["a", "b", "c"])
value, cas = client.gets("b")
told(client.cas, "b", b"swapped", cas)
told(client.cas, "b", b"swapped again", cas)
told(client.cas, "missing", b"x", cas)
told(client.set, "n", b"10")
told(client.incr, "n", 5)
told(client.decr, "n", 100)
told(client.incr, "missing", 1)
told(client.incr, "b", 1)
told(client.touch, "n", 60)
told(client.touch, "missing", 60)
told(client.set_many, {"m%d" % number: b"v%d" % number for number in range(500)})
found = client.get_many(["m%d" % number for number in range(1000)])
print(len(found), sorted(found.items())[:3])
told(client.delete_many, ["m1", "m2", "not"])
told(client.delete, "m3")
told(client.delete, "m3")
told(client.set, "big", b"b" * 1_000_000)
print(len(client.get("big")))
told(client.set, "toobig", b"b" * 2_000_000)
told(client.get, "toobig")
told(client.set, "bad key", b"x")
told(client.set, "k" * 251, b"x")
told(client.set, b"unicode-\xc3\xa9", b"\x00\r\n\xff")
told(client.get, b"unicode-\xc3\xa9")
told(client.cache_memlimit, 100)
told(client.verbosity if hasattr(client, "verbosity") else client.get, "a")
print(sorted(key for key in client.stats() if key in (
    b"pid", b"uptime", b"time", b"version", b"curr_items", b"total_items", b"bytes",
    b"limit_maxbytes", b"evictions", b"get_hits", b"get_misses", b"cmd_get", b"cmd_set",
    b"curr_connections", b"total_connections", b"threads", b"expired_unfetched",
    b"rusage_user", b"rusage_system", b"bytes_read", b"bytes_written")))
print({key: client.stats()[key] for key in (b"cmd_touch", b"get_hits", b"get_misses", b"cmd_set",
                                            b"cas_hits", b"cas_badval", b"cas_misses",
                                            b"delete_hits", b"delete_misses", b"incr_hits",
                                            b"incr_misses", b"decr_hits", b"curr_items")})
print(client.version().startswith(b"1.6.18"))

quiet = PooledClient(address, timeout=10, default_noreply=True, serde=serde.pickle_serde)
quiet.set("object", {"a": [1, 2, 3]})
quiet.incr("n", 1)
told(quiet.get, "object")
hashed = HashClient([address], timeout=10, default_noreply=False)
told(hashed.set_many, {"h1": b"1", "h2": b"2"})
print(sorted(hashed.get_many(["h1", "h2", "h3"]).items()))
told(client.flush_all)
told(client.get, "a")
client.quit()
