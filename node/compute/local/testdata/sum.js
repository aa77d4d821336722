// sum.js is sum.c in JavaScript: a reduce that adds up the numbers of each key.
let key = null, sum = 0;
const give = () => key === null || print(key + "\t" + sum);
for (const line of lines()) {
  const [k, n] = line.split("\t");
  if (n === undefined) throw Error("no tab in " + line);
  if (k !== key) {
    give();
    [key, sum] = [k, 0];
  }
  sum += Number(n);
}
give();
