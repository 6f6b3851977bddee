"""Calls a running Octavo as any client of the contract would.

Needs recommendations_pb2 and recommendations_pb2_grpc, generated from
protobufs/recommendations.proto, in PYTHONPATH. Prints what it sees, and fails
on the first answer that the contract does not promise.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from recommendations_pb2 import BookCategory, RecommendationRequest
from recommendations_pb2_grpc import RecommendationsStub

NOBODY = 2_000_000_000


def expect(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def check_books(response, at_most, what):
    books = response.recommendations
    expect(0 < len(books) <= at_most, f"{what}: {len(books)} books, expected 1 to {at_most}")
    expect(all(b.id > 0 and b.title for b in books), f"{what}: a book without id or title")
    expect(len({b.id for b in books}) == len(books), f"{what}: a book twice")


def refused(client, request):
    try:
        client.Recommend(request, timeout=10)
    except grpc.RpcError as error:
        return error.code(), error.details()
    sys.exit(f"FAILED: answered instead of refused: {request}")


def show(what, response):
    print(f"{what}: {len(response.recommendations)} books")
    for book in response.recommendations[:3]:
        print(f"    {book.id:5d}  {book.title}")


def main(address):
    with grpc.insecure_channel(address) as channel:
        client = RecommendationsStub(channel)

        response = client.Recommend(RecommendationRequest(), timeout=10)
        check_books(response, 10, "nothing set")
        expect(len(response.recommendations) == 10, "nothing set: not the default of 10 books")
        show("nothing set (nobody, LITERATURE, default number)", response)
        literature = [b.id for b in response.recommendations]

        same = client.Recommend(
            RecommendationRequest(user_id=0, category=BookCategory.LITERATURE, max_results=10), timeout=10
        )
        expect([b.id for b in same.recommendations] == literature, "unset fields are not zero")

        for name in ("MYSTERY", "SCIENCE_FICTION", "SELF_HELP"):
            response = client.Recommend(
                RecommendationRequest(user_id=1, category=BookCategory.Value(name), max_results=3), timeout=10
            )
            check_books(response, 3, name)
            show(f"reader 1, {name}, 3", response)

        response = client.Recommend(
            RecommendationRequest(user_id=NOBODY, category=BookCategory.SCIENCE, max_results=3), timeout=10
        )
        check_books(response, 3, "an unknown reader")
        show("a reader nobody has seen", response)

        response = client.Recommend(RecommendationRequest(user_id=1, max_results=2**31 - 1), timeout=10)
        check_books(response, 100, "a huge max_results")
        show("max_results 2147483647", response)

        for category in (99, -1):
            code, details = refused(client, RecommendationRequest(user_id=1, category=category))
            expect(code == grpc.StatusCode.NOT_FOUND, f"category {category}: {code}")
            expect(details == "Category not found", f"category {category}: {details!r}")
            print(f"category {category}: {code.name} {details!r}")

        code, details = refused(client, RecommendationRequest(user_id=1, max_results=-1))
        expect(code == grpc.StatusCode.INVALID_ARGUMENT, f"max_results -1: {code}")
        expect("max_results" in details, f"max_results -1: {details!r} does not name the field")
        print(f"max_results -1: {code.name} {details!r}")

        def ask(reader):
            request = RecommendationRequest(user_id=reader, category=BookCategory.FANTASY, max_results=5)
            return client.Recommend(request, timeout=30)

        with ThreadPoolExecutor(64) as pool:
            responses = list(pool.map(ask, range(1, 65)))
        for reader, response in enumerate(responses, 1):
            check_books(response, 5, f"reader {reader} among 64 at once")
        answers = {tuple(b.id for b in r.recommendations) for r in responses}
        expect(len(answers) > 8, f"64 readers got only {len(answers)} different answers")
        print(f"64 calls at once on one channel: all answered, {len(answers)} different answers")


if __name__ == "__main__":
    main(sys.argv[1])
