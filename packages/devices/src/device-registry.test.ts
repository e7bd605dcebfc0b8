import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { DeviceGrants } from "./device-grants.ts";
import { DeviceRegistry } from "./device-registry.ts";

const root = mkdtempSync(join(tmpdir(), "devices-"));
after(() => rmSync(root, { recursive: true }));
let directories = 0;

function directory(files: Readonly<Record<string, string>>): string {
  directories += 1;
  const path = join(root, String(directories));
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

function registry(...paths: readonly string[]): { readonly registry: DeviceRegistry; readonly errors: string[] } {
  const errors: string[] = [];
  const reporter = { report: (error: unknown) => void errors.push((error as Error).message) };
  return { registry: new DeviceRegistry({ directories: paths, reporter }), errors };
}

function spec(kind: string, devices: Readonly<Record<string, object>>, more: object = {}): string {
  return JSON.stringify({
    cdiVersion: "0.6.0",
    kind,
    devices: Object.entries(devices).map(([name, rest]) => ({ name, containerEdits: { env: [`D=${name}`] }, ...rest })),
    ...more,
  });
}

const classOf = (name: string) => ({ annotations: { "org.mobyproject.buildkit.device.class": name } });
const wanted = (name: string) => [{ name, optional: false }];

suite("DeviceRegistry", () => {
  const cards = directory({
    "b.json": spec("acme.com/card", { two: classOf("fast"), one: classOf("fast"), three: {} }),
    "a.yaml":
      "cdiVersion: 0.6.0\nkind: acme.com/net\nannotations:\n  org.mobyproject.buildkit.device.autoallow: true\ndevices:\n- name: eth\n  containerEdits:\n    env: [N=1]\n",
    "ignored.txt": "not a device file",
  });

  for (const [name, found] of [
    ["acme.com/card", ["one"]],
    ["acme.com/card=*", ["one", "three", "two"]],
    ["acme.com/card=two", ["two"]],
    ["fast", ["one", "two"]],
  ] as const) {
    test(`find() takes ${name} for ${found.join(", ")}`, () => {
      const names = registry(cards)
        .registry.find(wanted(name))
        .map((device) => device.name);
      assert.deepEqual(
        names,
        found.map((device) => `acme.com/card=${device}`),
      );
    });
  }

  test("find() names what is not there, unless it is optional", () => {
    const devices = registry(cards).registry;
    assert.throws(() => devices.find(wanted("acme.com/card=four")), {
      code: "not_found",
      message: 'required device "acme.com/card=four" is not registered',
    });
    assert.deepEqual(devices.find([{ name: "acme.com/card=four", optional: true }]), []);
  });

  test("a later directory's word on a device counts; two files of one directory have none", () => {
    const later = directory({ "x.json": spec("acme.com/card", { one: { containerEdits: { env: ["D=later"] } } }) });
    assert.deepEqual(registry(cards, later).registry.edits(["acme.com/card=one"]).env, ["D=later"]);
    const twins = directory({
      "x.json": spec("acme.com/card", { one: {} }),
      "y.json": spec("acme.com/card", { one: {}, two: {} }),
    });
    assert.deepEqual(
      registry(twins)
        .registry.list()
        .map(({ name }) => name),
      ["acme.com/card=two"],
    );
  });

  test("edits() has what a kind's devices share once", () => {
    const shared = directory({
      "x.json": spec("acme.com/x", { a: {}, b: {} }, { containerEdits: { env: ["SHARED=1"] } }),
    });
    const edits = registry(shared).registry.edits(["acme.com/x=a", "acme.com/x=b"]);
    assert.deepEqual(edits.env, ["SHARED=1", "D=a", "D=b"]);
  });

  for (const [why, text] of [
    ["no YAML", "{ a: ["],
    ["a list", "[]"],
    ["kind", spec("nokind", {})],
    ["devices[0].name", spec("acme.com/x", { "../x": {} })],
    ["env", spec("acme.com/x", { a: { containerEdits: { env: ["NOEQUALS"] } } })],
    ["deviceNodes[0].path", spec("acme.com/x", { a: { containerEdits: { deviceNodes: [{ path: "relative" }] } } })],
    ["hookName", spec("acme.com/x", { a: { containerEdits: { hooks: [{ hookName: "never", path: "/x" }] } } })],
    ["netDevices", spec("acme.com/x", { a: { containerEdits: { netDevices: [{}] } } })],
    ["an alias bomb", `a: &a [1]\n${Array.from({ length: 30 }, (_, i) => `b${i}: [*a, *a, *a, *a, *a]`).join("\n")}`],
  ] as const) {
    test(`a file that cannot be read (${why}) is told of once, and takes nothing else away`, () => {
      const { registry: devices, errors } = registry(directory({ "bad.yaml": text }), cards);
      assert.equal(devices.list().length, 4);
      assert.equal(devices.list().length, 4);
      assert.equal(errors.length, 1, errors.join("\n"));
      assert.match(errors[0] ?? "", /bad\.yaml/);
    });
  }

  test("a directory that does not exist has no devices", () => {
    assert.deepEqual(registry(join(root, "none")).registry.list(), []);
  });
});

suite("DeviceGrants", () => {
  const { registry: devices } = registry(
    directory({
      "a.json": spec("acme.com/card", { one: {}, two: {} }),
      "b.json": spec("acme.com/free", { x: { annotations: { "org.mobyproject.buildkit.device.autoallow": "true" } } }),
    }),
  );
  const allow = (granted: readonly string[], ...names: readonly string[]) =>
    new DeviceGrants(granted)
      .allow(
        names.map((name) => ({ name, optional: false })),
        devices,
      )
      .map(({ name }) => name);

  test("refuse what was not granted, by its full name", () => {
    assert.throws(() => allow([], "acme.com/card"), {
      code: "permission_denied",
      message: "device acme.com/card=one is requested by the build but not allowed",
    });
    assert.throws(
      () => allow(["device=acme.com/card=two"], "acme.com/card=*"),
      /device acme.com\/card=one is requested/,
    );
  });

  test("let a build have what it was granted, and what everybody may have", () => {
    assert.deepEqual(allow(["device=acme.com/card=two"], "acme.com/card=two", "acme.com/free"), [
      "acme.com/card=two",
      "acme.com/free=x",
    ]);
    assert.deepEqual(allow(["device"], "acme.com/card"), ["acme.com/card"]);
  });

  test("know a device by another name", () => {
    assert.deepEqual(allow(["device=acme.com/card=two,alias=gpu"], "gpu"), ["acme.com/card=two"]);
  });

  for (const text of ["device=a,alias", "device=a,color=red"]) {
    test(`${text} is refused`, () => {
      assert.throws(() => new DeviceGrants([text]), { code: "invalid_argument" });
    });
  }
});
