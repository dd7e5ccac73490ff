"""strata chat with a real model whose windows slide: what /undo takes back was never there.

The conversation is 1,000 tokens of chatter, some of it undone, so that the rings of the cache come round; its last
answer is that of the same conversation from new. The model is looked for in $STRATA_TEST_MODELS.
"""
import json
import unittest

from golden import MODELS, need, run

WORDS = ("she used he these you never see here down its or being for because very the own then can most is that off and into "
         "state great than world against only must work such too go had if like did same another out over my day each it both "
         "some people will much since way have know they has might your under with man who what while three back of should").split()


def chatter(n, salt):
    x, out = salt, []
    for _ in range(n):
        x = (x * 1103515245 + 12345) % (1 << 31)
        out.append(WORDS[(x >> 12) % len(WORDS)])
    return " ".join(out)


class Undo(unittest.TestCase):
    def answers(self, model, *turns):
        out = run("chat", "-m", model, "--temp", "0", "-n", "12", "--format", "json", stdin=("\n".join(turns) + "\n").encode())
        return [json.loads(x) for x in out.stdout.decode().splitlines()]

    def test_last_answer(self):
        model = need(MODELS / "gemma-3-270m-q4_k_m.gguf", "chat with undo over rings")
        first, second, third = chatter(950, 1), chatter(300, 2), chatter(350, 3)
        last = "What is the capital of France"
        walked = self.answers(model, first, second, third, "/undo", "Tell me about rivers in Europe please", "/undo", "/undo", last)
        fresh = self.answers(model, first, last)
        self.assertEqual(walked[-1]["content"], fresh[-1]["content"])
        self.assertEqual(walked[-1]["usage"]["prompt_tokens"], fresh[-1]["usage"]["prompt_tokens"])
        self.assertGreater(walked[2]["usage"]["prompt_tokens"], 1600)  # rings of 1,040 places came round


if __name__ == "__main__":
    unittest.main()
