// words.js is words.c in JavaScript: a map that writes each word of its input with a 1.
for (const line of lines())
  for (const word of line.match(/[a-z0-9]+/gi) ?? []) print(word.toLowerCase() + "\t1");
