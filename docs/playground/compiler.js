// The compiler as a page asks it: one question at a time, and none for longer than its limit.

export class Compiler {
  // `shows` is called with what is being loaded, and with "" once the compiler answers.
  constructor(shows) {
    this.shows = shows
    this.limit = 20_000 // milliseconds
    this.last = Promise.resolve()
    this.begin()
  }

  begin() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" })
    this.ready = new Promise((resolve, reject) => {
      const end = (finish, value) => {
        this.shows("")
        finish(value)
      }
      this.worker.onmessage = ({ data }) => {
        if (data.loading) this.shows(data.loading)
        if (data.ready) end(resolve)
        if (data.broken) end(reject, new Error(data.broken))
      }
      this.worker.onerror = event => end(reject, new Error(event.message || "the compiler's files cannot be loaded"))
    })
    this.ready.catch(() => {}) // told by the question that waits for it
  }

  // Ask a question when those before it are answered; fails if the compiler fails or takes too long.
  ask(question, ...given) {
    const answer = this.last.then(() => this.answer(question, given))
    this.last = answer.catch(() => {})
    return answer
  }

  async answer(question, given) {
    let limit
    try {
      await this.ready
      return await new Promise((resolve, reject) => {
        const late = `stopped after ${this.limit / 1000} s: this text takes too long in a browser; use 'lnetc check'`
        limit = setTimeout(() => reject(new Error(late)), this.limit)
        this.worker.onerror = event => reject(new Error(event.message || "the compiler has ended"))
        this.worker.onmessage = ({ data }) => ("answer" in data ? resolve(data.answer) : reject(new Error(data.failed)))
        this.worker.postMessage({ question, given })
      })
    } catch (error) {
      this.worker.terminate() // whatever state it is in
      this.begin()
      throw error
    } finally {
      clearTimeout(limit)
    }
  }
}
