import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { type Mount, mountAll, unmountAll } from "@buildkit-ts/mount";
import { StepTrust } from "./step-trust.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const certificate = "-----BEGIN CERTIFICATE-----\nbm90IHJlYWxseQ==\n-----END CERTIFICATE-----\n";
const bundlePath = "etc/ssl/certs/ca-certificates.crt";
const signal = new AbortController().signal;

/** An overlay like those of steps, whose lower tree has authorities. */
class Fixture implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "step-trust-"));
  readonly lower = join(this.folder, "lower");
  readonly upper = join(this.folder, "upper");
  readonly root = join(this.folder, "root");
  readonly outside = join(this.folder, "outside");
  readonly mounts: readonly Mount[];

  constructor(content = "authorities\n") {
    for (const name of ["lower", "upper", "work", "root"]) mkdirSync(join(this.folder, name));
    mkdirSync(join(this.lower, "etc/ssl/certs"), { recursive: true });
    writeFileSync(join(this.lower, bundlePath), content);
    for (const path of [bundlePath, "etc/ssl/certs", "etc/ssl", "etc"]) utimesSync(join(this.lower, path), 1000, 2000);
    const options = [`lowerdir=${this.lower}`, `upperdir=${this.upper}`, `workdir=${join(this.folder, "work")}`];
    this.mounts = [{ type: "overlay", source: "overlay", options }];
  }

  get bundle(): string {
    return join(this.root, bundlePath);
  }

  /** Lets something happen while the authority is trusted. */
  async step(run: () => void): Promise<void> {
    using trust = new StepTrust(certificate, this.mounts);
    await mountAll(this.mounts, this.root, { signal });
    try {
      using _begun = trust.begin(this.root);
      run();
    } finally {
      await unmountAll(this.root);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

suite("StepTrust", { skip }, () => {
  for (const content of ["authorities\n", "without an end of its line", ""]) {
    test(`adds to a file of ${content.length} bytes, and leaves nothing in the layer`, async () => {
      using fixture = new Fixture(content);
      await fixture.step(() => {
        const text = readFileSync(fixture.bundle, "utf8");
        assert.ok(text.startsWith(content));
        assert.ok(text.endsWith(`\n# buildkit proxy CA begin\n${certificate}# buildkit proxy CA end\n`));
      });
      assert.deepEqual(readdirSync(fixture.upper), []);
      assert.equal(readFileSync(join(fixture.lower, bundlePath), "utf8"), content);
    });
  }

  test("keeps what the step has made in the same directories, with its times", async () => {
    using fixture = new Fixture();
    await fixture.step(() => {
      writeFileSync(join(fixture.root, "etc/ssl/own"), "");
      utimesSync(join(fixture.root, "etc/ssl"), 3000, 4000);
    });
    assert.deepEqual(readdirSync(fixture.upper, { recursive: true }).toSorted(), ["etc", "etc/ssl", "etc/ssl/own"]);
    assert.equal(statSync(join(fixture.upper, "etc/ssl")).mtimeMs, 4_000_000);
    assert.equal(statSync(join(fixture.upper, "etc")).mtimeMs, 2_000_000);
  });

  test("keeps a directory whose mode the step has changed, and one that it has emptied", async () => {
    using fixture = new Fixture();
    await fixture.step(() => chmodSync(join(fixture.root, "etc/ssl"), 0o700));
    assert.deepEqual(readdirSync(fixture.upper, { recursive: true }).toSorted(), ["etc", "etc/ssl"]);
    using emptied = new Fixture();
    writeFileSync(join(emptied.lower, "etc/ssl/certs/other"), "");
    await emptied.step(() => rmSync(join(emptied.root, "etc/ssl/certs"), { recursive: true }));
    assert.deepEqual(readdirSync(emptied.upper, { recursive: true }).toSorted(), ["etc", "etc/ssl", "etc/ssl/certs"]);
    assert.ok(lstatSync(join(emptied.upper, "etc/ssl/certs")).isCharacterDevice());
  });

  test("takes the authority out of a file that the step has added to, replaced or moved", async () => {
    for (const run of [
      (path: string) => appendFileSync(path, "own\n"),
      (path: string) => {
        const text = readFileSync(path, "utf8");
        rmSync(path);
        writeFileSync(path, `${text}own\n`);
      },
      // As programs do that sort certificates into new files.
      (path: string) => writeFileSync(path, `authorities\n${certificate}own\n`),
    ]) {
      using fixture = new Fixture();
      await fixture.step(() => run(fixture.bundle));
      assert.equal(readFileSync(join(fixture.upper, bundlePath), "utf8"), "authorities\nown\n");
    }
    using fixture = new Fixture();
    await fixture.step(() => {
      writeFileSync(join(fixture.root, "etc/ssl/cert.pem"), readFileSync(fixture.bundle));
      rmSync(fixture.bundle);
    });
    assert.equal(readFileSync(join(fixture.upper, "etc/ssl/cert.pem"), "utf8"), "authorities\n");
    assert.ok(lstatSync(join(fixture.upper, bundlePath)).isCharacterDevice());
  });

  test("follows links within the tree, and no further", async () => {
    using fixture = new Fixture();
    writeFileSync(fixture.outside, "outside\n");
    rmSync(join(fixture.lower, bundlePath));
    symlinkSync("/usr/bundle", join(fixture.lower, bundlePath));
    mkdirSync(join(fixture.lower, "usr"));
    writeFileSync(join(fixture.lower, "usr/bundle"), "authorities\n");
    await fixture.step(() => {
      assert.match(readFileSync(join(fixture.root, "usr/bundle"), "utf8"), /proxy CA/);
      rmSync(fixture.bundle);
      symlinkSync(fixture.outside, fixture.bundle);
      symlinkSync(`../../../../../../../..${fixture.outside}`, join(fixture.root, "etc/ssl/cert.pem"));
    });
    assert.equal(readFileSync(fixture.outside, "utf8"), "outside\n");
    using without = new Fixture();
    writeFileSync(without.outside, "outside\n");
    rmSync(join(without.lower, bundlePath));
    symlinkSync(without.outside, join(without.lower, bundlePath));
    await without.step(() => assert.equal(readFileSync(without.outside, "utf8"), "outside\n"));
    assert.deepEqual(readdirSync(without.upper), []);
  });

  test("makes no file where the tree has none, and takes nothing else for one", async () => {
    using fixture = new Fixture();
    rmSync(join(fixture.lower, bundlePath));
    mkdirSync(join(fixture.lower, bundlePath));
    await fixture.step(() => assert.ok(existsSync(fixture.bundle)));
    assert.deepEqual(readdirSync(fixture.upper), []);
  });

  test("mounts() gives a file for a root that cannot be written to", async () => {
    using fixture = new Fixture();
    using trust = new StepTrust(certificate, []);
    const [mount] = await trust.mounts(fixture.lower, fixture.folder);
    assert.equal(mount?.destination, `/${bundlePath}`);
    assert.match(readFileSync(mount?.source ?? "", "utf8"), /^authorities\n[^]*proxy CA end\n$/);
    assert.equal(readFileSync(join(fixture.lower, bundlePath), "utf8"), "authorities\n");
  });
});
