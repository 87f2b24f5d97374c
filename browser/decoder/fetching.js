// Fetches a file whole.

/** The bytes at a URL. Throws a `Failure` that names it. In Node, file: URLs are read. */
export async function fetchBytes(url, Failure) {
  let response;
  try {
    if (url.startsWith("file:")) return new Uint8Array(await (await import("node:fs/promises")).readFile(new URL(url)));
    response = await fetch(url);
  } catch (error) {
    throw new Failure(`${url}: cannot be fetched (${error.message})`);
  }
  if (!response.ok) throw new Failure(`${url}: HTTP ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
