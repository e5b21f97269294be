// A text in a link, compressed: `#file=examples/faces/model.lnet&text=...`; an example as it is needs no text.

const through = (content, ...streams) =>
  new Response(streams.reduce((stream, next) => stream.pipeThrough(next), new Blob([content]).stream()))

// Return a stream that passes on so many bytes, and fails if there are more.
function atMost(left) {
  return new TransformStream({
    transform(part, to) {
      if ((left -= part.length) < 0) throw new RangeError("more bytes than there may be")
      to.enqueue(part)
    },
  })
}

// Return the part of a link after `#`.
export async function packed(file, text, shipped) {
  const found = new URLSearchParams({ file })
  if (text !== shipped) {
    const bytes = new Uint8Array(await through(text, new CompressionStream("deflate-raw")).arrayBuffer())
    const letters = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""))
    found.set("text", letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""))
  }
  return found.toString().replaceAll("%2F", "/")
}

// Return `{file, text}` of a link, without what it does not say; fails if the text is damaged or has more than `most` bytes.
export async function unpacked(hash, most) {
  const given = new URLSearchParams(hash)
  const found = given.has("file") ? { file: given.get("file") } : {}
  if (!given.has("text")) return found
  try {
    const letters = atob(given.get("text").replaceAll("-", "+").replaceAll("_", "/"))
    const bytes = Uint8Array.from(letters, letter => letter.charCodeAt(0))
    return { ...found, text: await through(bytes, new DecompressionStream("deflate-raw"), atMost(most)).text() }
  } catch {
    throw new Error("its text is damaged or too long")
  }
}
