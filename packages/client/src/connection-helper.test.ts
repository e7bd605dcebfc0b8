import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { dialCommand } from "./connection-helper.ts";

suite("dialCommand()", () => {
  const commands = {
    "docker-container://builder": "docker exec -i builder buildctl dial-stdio",
    "docker-container://builder?context=remote": "docker --context remote exec -i builder buildctl dial-stdio",
    "podman-container://builder": "podman exec -i builder buildctl dial-stdio",
    "nerdctl-container://builder?namespace=ns": "nerdctl exec --namespace ns -i builder buildctl dial-stdio",
    "kube-pod://pod-0?context=c&namespace=n&container=b":
      "kubectl --context=c --namespace=n exec --container=b -i pod-0 -- buildctl dial-stdio",
    "ssh://me@host:2222": "ssh -l me -p 2222 -- host buildctl dial-stdio",
    "ssh://host/run/b.sock": "ssh -- host buildctl --addr unix:///run/b.sock dial-stdio",
  };
  for (const [address, command] of Object.entries(commands)) {
    test(`reads ${address}`, () => {
      const found = dialCommand(address);
      assert.equal([found?.program, ...(found?.args ?? [])].join(" "), command);
    });
  }

  for (const address of [
    "ssh://me:secret@host",
    "ssh://host?x=1",
    "ssh://-oProxyCommand=x",
    "kube-pod://pod;rm",
    "docker-container://--privileged",
  ]) {
    test(`refuses ${address}`, () => assert.throws(() => dialCommand(address), { code: "invalid_argument" }));
  }

  test("leaves sockets to others", () => {
    assert.equal(dialCommand("unix:///run/b.sock"), undefined);
    assert.equal(dialCommand("tcp://127.0.0.1:1234"), undefined);
  });
});
