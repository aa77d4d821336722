const form = document.getElementById("form"), posts = document.getElementById("posts"), said = document.getElementById("said")

function item({at, name, message}) {
  const li = document.createElement("li"), who = document.createElement("strong"), when = document.createElement("time"), text = document.createElement("p")
  who.textContent = name
  when.textContent = " " + new Date(at).toLocaleString()
  text.textContent = message
  li.append(who, when, text)
  return li
}

async function show() {
  const answer = await fetch("/api/posts")
  posts.replaceChildren(...(await answer.json()).map(item))
}

form.addEventListener("submit", async event => {
  event.preventDefault()
  const answer = await fetch("/api/posts", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(Object.fromEntries(new FormData(form)))})
  said.textContent = answer.ok ? "Thank you." : (await answer.json()).error ?? "That did not work."
  if (answer.ok) form.reset()
  await show()
})

show()
