// Lists posts, and adds one.

function answer(status, body) {
    print("Status: " + status)
    print("Content-Type: application/json")
    print("Cache-Control: no-store")
    print()
    print(JSON.stringify(body))
}

function add(post) {
    const name = String(post.name ?? "").trim(), message = String(post.message ?? "").trim()
    if (!name || !message || name.length > 80 || message.length > 2000) {
        return answer("400 Bad Request", {error: "a post has a name of at most 80 characters, and a message of at most 2000"})
    }
    const {rows: [[id]]} = sql("INSERT INTO posts(name, message) VALUES($1, $2) RETURNING id", name, message)
    console.log(`post ${id} of ${name}`)
    answer("201 Created", {id})
}

function list() {
    const {rows} = sql("SELECT id, at, name, message FROM posts ORDER BY id DESC LIMIT 100")
    answer("200 OK", rows.map(([id, at, name, message]) => ({id, at, name, message})))
}

if (env.REQUEST_METHOD === "GET") {
    list()
} else {
    let post
    try {
        post = JSON.parse(readAll())
    } catch {
        post = {}
    }
    add(post)
}
