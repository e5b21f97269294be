// A text in a link, compressed: `#file=examples/faces/model.lnet&text=...`; an example as it is needs no text.

const through = async (bytes, stream) => new Response(new Blob([bytes]).stream().pipeThrough(stream))

// Return the part of a link after `#`.
export async function packed(file, text, shipped) {
  const found = new URLSearchParams({ file })
  if (text !== shipped) {
    const bytes = new Uint8Array(await (await through(text, new CompressionStream("deflate-raw"))).arrayBuffer())
    const letters = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""))
    found.set("text", letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""))
  }
  return found.toString().replaceAll("%2F", "/")
}

// Return `{file, text}` of a link, without what it does not say; fails if the text is damaged or longer than `most`.
export async function unpacked(hash, most) {
  const given = new URLSearchParams(hash)
  const found = {}
  if (given.has("file")) found.file = given.get("file")
  if (given.has("text")) {
    const letters = atob(given.get("text").replaceAll("-", "+").replaceAll("_", "/"))
    const bytes = Uint8Array.from(letters, letter => letter.charCodeAt(0))
    found.text = ""
    const stream = (await through(bytes, new DecompressionStream("deflate-raw"))).body
    for await (const part of stream.pipeThrough(new TextDecoderStream()))
      if ((found.text += part).length > most) throw new Error("the text is too long")
  }
  return found
}
