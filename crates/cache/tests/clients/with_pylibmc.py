"""What pylibmc sees, and so libmemcached: said to ours and to memcached, and compared."""
import sys

import pylibmc

address = sys.argv[1]


def told(function, *arguments, **named):
    try:
        result = function(*arguments, **named)
    except pylibmc.Error as error:
        result = type(error).__name__
    print(function.__name__, repr(arguments[:1])[:60], repr(result)[:200])


for behaviors in ({}, {"tcp_nodelay": True, "ketama": True}, {"no_block": True, "cas": True}):
    client = pylibmc.Client([address], binary=False, behaviors=dict(behaviors, cas=True))
    print(behaviors)
    told(client.flush_all)
    told(client.set, "a", "text")
    told(client.get, "a")
    told(client.set, "object", {"a": [1, 2, 3]}, time=100)
    told(client.get, "object")
    told(client.get, "missing")
    told(client.add, "a", 1)
    told(client.add, "b", b"bytes")
    told(client.replace, "c", 1)
    told(client.replace, "b", b"more")
    told(client.append, "b", b">")
    told(client.prepend, "b", b"<")
    told(client.get, "b")
    value, cas = client.gets("b")
    told(client.cas, "b", b"swapped", cas)
    told(client.cas, "b", b"again", cas)
    told(client.set, "n", 10)
    told(client.incr, "n", 5)
    told(client.decr, "n", 3)
    told(client.incr, "missing")
    told(client.touch, "n", 50)
    told(client.set_multi, {"m%d" % number: number for number in range(500)})
    found = client.get_multi(["m%d" % number for number in range(1000)])
    print(len(found), sorted(found.items())[:3])
    told(client.incr_multi, ["m1", "m2"])
    told(client.delete_multi, ["m1", "m2"])
    told(client.delete, "m1")
    told(client.set, "big", b"b" * 900_000)
    print(len(client.get("big")))
    told(client.set, "toobig", b"b" * 2_000_000)
    told(client.get, "toobig")
    told(client.set, "after", "still in step")
    told(client.get, "after")
    told(client.set, "packed", b"x" * 100_000, min_compress_len=1000)
    print(len(client.get("packed")))
    for server, stats in client.get_stats():
        print({key: stats[key] for key in ("curr_items", "cmd_get", "get_hits", "threads")})
        print(stats["version"].startswith(b"1.6.18"))
    told(client.flush_all)
    told(client.get, "a")
    client.disconnect_all()
pool = pylibmc.ClientPool(pylibmc.Client([address], binary=False), 4)
with pool.reserve() as client:
    told(client.set, "pooled", 1)
    told(client.get, "pooled")
