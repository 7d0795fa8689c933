// Draws the images of images.js that the filters let through, some at a time.

const AT_ONCE = 120;
const images = rows.map(([id, page, label, certainty, good, bad, thumbnail]) =>
  ({ id, page, label, certainty, good, bad, thumbnail }));
const [words, label, certainty] = ["words", "label", "certainty"].map((id) => document.getElementById(id));
const [gallery, more, blank] = ["gallery", "more", "card"].map((id) => document.getElementById(id));
const searched = Object.fromEntries(Object.entries(prompts).map(([page, text]) => [page, text.toLowerCase()]));
let found = [], drawn = 0;

function card(image) {
  const figure = blank.content.querySelector("figure").cloneNode(true);
  const picture = figure.querySelector("img");
  figure.querySelector("a").href = `prompts/${image.page}.html#${image.id}`;
  picture.alt = prompts[image.page];
  if (image.thumbnail) picture.src = image.thumbnail;
  else picture.removeAttribute("src");
  const said = { good: image.good, bad: image.bad, label: image.label, prompt: prompts[image.page] };
  said.certainty = Math.round(100 * image.certainty);
  for (const [name, text] of Object.entries(said)) figure.querySelector(`.${name}`).textContent = text;
  return figure;
}

function draw() {
  gallery.append(...found.slice(drawn, drawn + AT_ONCE).map(card));
  drawn = Math.min(drawn + AT_ONCE, found.length);
  more.hidden = drawn === found.length;
}

function filter() {
  const wanted = words.value.toLowerCase();
  found = images.filter((image) => searched[image.page].includes(wanted)
    && (!label.value || image.label === label.value)
    && image.certainty >= Number(certainty.value));
  document.getElementById("percent").value = `${Math.round(100 * certainty.value)} %`;
  document.getElementById("found").value = `${found.length.toLocaleString("en")} of ${images.length.toLocaleString("en")} images`;
  gallery.replaceChildren();
  drawn = 0;
  draw();
}

for (const input of [words, label, certainty]) input.addEventListener("input", filter);
more.addEventListener("click", draw);
new IntersectionObserver(([seen]) => { if (seen.isIntersecting) draw(); }, { rootMargin: "50%" }).observe(more);
filter();
