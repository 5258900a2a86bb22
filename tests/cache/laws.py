"""What every back end must do, whatever it is made of."""

from typing import Any

from hypothesis import strategies as st

from streamproc.cache.backend import CacheBackend

names = st.sampled_from(
    ["a", "ab", "a%", "a_b", "A", "c", "", "ä", "ä\0b", "x" * 200, "a:b", "*", "a*b", "a b", "[a]", "\\"]
)
basic = st.one_of(
    st.tuples(st.just("put"), st.dictionaries(names, st.binary(max_size=20), max_size=4)),
    st.tuples(st.just("get"), st.lists(names, max_size=6)),
    st.tuples(st.just("delete"), st.lists(names, max_size=3)),
    st.tuples(st.just("clear"), st.none()),
)
operations = st.lists(basic, max_size=12)
listed_operations = st.lists(st.one_of(basic, st.tuples(st.just("delete prefix"), names)), max_size=12)
"""With what only a back end can do that can tell which keys it holds."""


async def check_dict(backend: CacheBackend, script: list[tuple[str, Any]]) -> dict[str, bytes]:
    """Do what a script says to a back end and to a dict; they must agree, in the order asked, duplicates included."""
    model: dict[str, bytes] = {}
    for operation, argument in script:
        if operation == "put":
            await backend.put_many(argument, ttl=1000)
            model.update(argument)
        elif operation == "get":
            assert await backend.get_many(argument) == [model.get(key) for key in argument]
        elif operation == "delete":
            await backend.delete_many(argument)
            for key in argument:
                model.pop(key, None)
        elif operation == "delete prefix":
            await backend.delete_prefix(argument)
            model = {key: value for key, value in model.items() if not key.startswith(argument)}
        else:
            await backend.clear()
            model.clear()
    return model
