// What the book adds to Sphinx's search: a query that describes a symptom finds its case first, and
// each result says in which part of the book it is. tools/book_extension.py puts this file behind
// Sphinx's own script, together with BOOK, which tools/search.py makes.
{
  const stemmer = new Stemmer();
  // In questions these say nothing about what is asked; the rest are Sphinx's.
  const mute = new Set(
    ("why what which how when where does do did done i my me you we am can should would has have had been " +
      "from after before than very much so all any still too get gets got me there using use used when while" +
      " pytorch torch nn runtimeerror valueerror warning")
      .split(" ")
      .concat(stopwords)
  );
  const meant = new Map(Object.entries(BOOK.same));

  const words = (text) => {
    const found = new Set();
    const joined = text
      .toLowerCase()
      .replace(/\b(batch|layer|group|instance|weight)[ _-]?norm(ali[sz]ation)?\b/g, "$1norm");
    for (const word of splitQuery(joined).flatMap((word) => word.split("_")))
      if (word && !mute.has(word)) found.add(stemmer.stemWord(meant.get(word) ?? word));
    return found;
  };

  // A phrase is compared word by word, and a rare word weighs more than a frequent one.
  const cases = BOOK.cases.map((own) => ({ ...own, phrases: own.said.map(words) }));
  const count = new Map();
  for (const { phrases } of cases)
    for (const word of new Set(phrases.flatMap((phrase) => [...phrase])))
      count.set(word, (count.get(word) ?? 0) + 1);
  const weight = (set, other = set) => {
    let sum = 0;
    for (const word of set)
      if (other.has(word)) sum += Math.log(1 + cases.length / (count.get(word) ?? 1));
    return sum;
  };

  // From 0 to 1: how much of the query a case knows, and how near its nearest phrase is.
  const likeness = (query, { phrases }) => {
    const all = new Set(phrases.flatMap((phrase) => [...phrase]));
    const near = phrases.map((p) => (2 * weight(query, p)) / (weight(query) + weight(p)));
    return { known: weight(query, all) / weight(query), near: Math.max(...near) };
  };

  BOOK.find = (text) => {
    const query = words(text);
    if (!query.size) return [];
    // One or two words are a name rather than a symptom, such as "running_var".
    const least = { 1: 0.95, 2: 0.75 }[query.size] ?? 0.45;
    const score = ({ known, near }) => known + near;
    const found = cases
      .map((own) => ({ ...own, ...likeness(query, own) }))
      .filter(({ known, near }) => near > least && (known > 0.5 || near > 0.95))
      .sort((a, b) => score(b) - score(a));
    return found.slice(0, 3).filter((own) => score(own) > 0.8 * score(found[0]));
  };

  const sphinx = Search._performSearch;
  Search._performSearch = (query, ...terms) => {
    const { docnames, filenames, titles } = Search._index;
    const found = BOOK.find(query).map(({ page, id, title }) => {
      const i = docnames.indexOf(page);
      return [page, `${titles[i]} > ${title}`, `#${id}`, null, 100, filenames[i]];
    });
    const isNew = (result) => !found.some((own) => own[0] === result[0] && own[2] === result[2]);
    // The best result stands last.
    return [...sphinx(query, ...terms).filter(isNew), ...found.reverse()].map((result) => {
      const [page, title, ...rest] = result;
      const where = BOOK.where[page];
      return [page, where ? `${title} <span class="where">${where}</span>` : title, ...rest];
    });
  };

  // Quotes are fetched from the pages: not while one types, and from a disk they cannot be.
  if (location.protocol === "file:" || DOCUMENTATION_OPTIONS.pagename !== "search")
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
