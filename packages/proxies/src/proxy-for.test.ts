import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyFor } from "./proxy-for.ts";

const proxies = { HTTP_PROXY: "http://plain:1", HTTPS_PROXY: "tls:2" };
const askFor = (url: string, more: Readonly<Record<string, string>> = {}): string | undefined =>
  proxyFor(new URL(url), { ...proxies, ...more })?.href;

test("proxyFor() takes the proxy of the URL's scheme, in either spelling", () => {
  assert.equal(askFor("http://a/"), "http://plain:1/");
  assert.equal(askFor("https://a/"), "http://tls:2/");
  assert.equal(proxyFor(new URL("https://a/"), { HTTP_PROXY: "http://plain:1" }), undefined);
  assert.equal(proxyFor(new URL("http://a/"), { http_proxy: "http://small" })?.href, "http://small/");
  assert.equal(proxyFor(new URL("http://a/"), { HTTP_PROXY: "" }), undefined);
});

test("proxyFor() takes proxies of HTTP with and without TLS, and of SOCKS", () => {
  for (const proxy of ["http://p:1/", "https://p:1/", "socks5://me:secret@p:1", "socks5h://p:1"])
    assert.equal(proxyFor(new URL("http://a/"), { HTTP_PROXY: proxy })?.href, proxy);
  assert.equal(proxyFor(new URL("http://a/"), { ALL_PROXY: "socks5://p:1" }), undefined);
});

test("proxyFor() never sends what is for this machine elsewhere", () => {
  for (const host of ["localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:5000"])
    assert.equal(askFor(`http://${host}/`), undefined, host);
});

test("proxyFor() leaves out what NO_PROXY names", () => {
  const no = "a.com, .b.com,*.c.com,10.0.0.0/8,192.168.1.1:5000,d.com:8080,fd00::/8,[fd01::1]:80,F.com";
  const without = (url: string): boolean => askFor(url, { NO_PROXY: no }) === undefined;
  for (const url of [
    "https://a.com/",
    "https://a.com./",
    "https://x.a.com:5000/",
    "https://x.b.com/",
    "https://x.c.com/",
    "http://10.200.0.1:5000/",
    "http://192.168.1.1:5000/",
    "http://d.com:8080/",
    "http://x.d.com:8080/",
    "http://[fd00::5]:99/",
    "http://[fd01::1]/",
    "http://f.com/",
  ])
    assert.equal(without(url), true, url);
  for (const url of [
    "https://xa.com/",
    "https://b.com/",
    "https://c.com/",
    "http://11.0.0.1/",
    "http://192.168.1.1/",
    "http://d.com/",
    "http://[fe00::5]/",
  ])
    assert.equal(without(url), false, url);
  assert.equal(askFor("http://a/", { no_proxy: "x,*" }), undefined);
});

test("proxyFor() says what is wrong with a proxy, without its password", () => {
  for (const proxy of ["socks4://me:secret@host", "http://me:secret@[", "ftp://x"])
    assert.throws(
      () => proxyFor(new URL("http://a/"), { HTTP_PROXY: proxy }),
      (error) => {
        assert.ok(error instanceof Error);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
});
