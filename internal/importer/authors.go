package importer

import (
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// shelfAuthors are well-known authors nearly all of whose books stand on one
// shelf. Their books are strong evidence where categories are inferred.
//
//nolint:misspell // names of people, and the contract's spelling
var shelfAuthors = map[catalogv1.Category]string{
	catalogv1.Category_CATEGORY_LITERATURE: `Haruki Murakami; Paulo Coelho; Charles Dickens; Chuck Palahniuk; Isabel Allende; Margaret Atwood;
		Gabriel García Márquez; John Irving; Anita Shreve; Jodi Picoult; Ian McEwan; Anne Tyler; John Steinbeck; Toni Morrison; Charles Bukowski;
		Fyodor Dostoyevsky; Leo Tolstoy; Milan Kundera; Nick Hornby; Cormac McCarthy; Paul Auster; Jane Austen; Barbara Kingsolver; Franz Kafka;
		Ann Patchett; Fannie Flagg; Chris Bohjalian; José Saramago; Tom Robbins; Alice Hoffman; Ernest Hemingway; Dave Eggers; Bret Easton Ellis;
		Michael Chabon; David Mitchell; Salman Rushdie; Anna Quindlen; Philip Roth; Douglas Coupland; F. Scott Fitzgerald; Kazuo Ishiguro;
		Joseph Conrad; Thomas Hardy; Pat Conroy; Amy Tan; Virginia Woolf; Hermann Hesse; Albert Camus; Kurt Vonnegut Jr.; Vladimir Nabokov;
		Don DeLillo; Thomas Pynchon; Jonathan Franzen; Jeffrey Eugenides; Khaled Hosseini; Zadie Smith; George Eliot; Charlotte Brontë;
		Henry James; E.M. Forster; D.H. Lawrence; William Faulkner; Saul Bellow; John Updike; Richard Russo; Elizabeth Strout; Jane Smiley;
		Joyce Carol Oates; Wally Lamb; Jhumpa Lahiri; Chimamanda Ngozi Adichie; J.M. Coetzee; Orhan Pamuk; Yukio Mishima; Gustave Flaubert;
		Honoré de Balzac; Victor Hugo; Émile Zola; Henry Miller; Jack Kerouac; J.D. Salinger; Carson McCullers; Willa Cather; Edith Wharton;
		Evelyn Waugh; Graham Greene; W. Somerset Maugham; Doris Lessing; Iris Murdoch; Julian Barnes; Martin Amis; Jonathan Safran Foer`,
	catalogv1.Category_CATEGORY_MYSTERY: `Agatha Christie; Janet Evanovich; Michael Connelly; Sue Grafton; Arthur Conan Doyle; Alexander McCall Smith; Louise Penny;
		Henning Mankell; Robert Crais; Alan Bradley; Jacqueline Winspear; Tana French; Jo Nesbø; Kathy Reichs; Patricia Cornwell; Ian Rankin;
		P.D. James; Elizabeth George; Raymond Chandler; Dashiell Hammett; Dorothy L. Sayers; Walter Mosley; Robert B. Parker; Val McDermid;
		Peter Robinson; Faye Kellerman; Jonathan Kellerman; Laurie R. King; Robert Galbraith; Deborah Crombie; Diane Mott Davidson; Camilla Läckberg`,
	catalogv1.Category_CATEGORY_SCIENCE_FICTION: `Orson Scott Card; Isaac Asimov; Robert A. Heinlein; William Gibson; Arthur C. Clarke; Iain M. Banks; Neal Stephenson;
		Hugh Howey; John Scalzi; Philip K. Dick; Peter F. Hamilton; Lois McMaster Bujold; Frank Herbert; Brian Herbert; Alastair Reynolds; Dan Simmons;
		Timothy Zahn; Ray Bradbury; Stanisław Lem; H.G. Wells; Larry Niven; Kim Stanley Robinson; Vernor Vinge; Octavia E. Butler; James S.A. Corey;
		Douglas Adams; Ernest Cline; Andy Weir; Michael A. Stackpole; James Luceno; Kevin J. Anderson; David Weber; Greg Bear; Frederik Pohl; Ann Leckie`,
	catalogv1.Category_CATEGORY_SELF_HELP: `Dale Carnegie; Stephen R. Covey; Anthony Robbins; Eckhart Tolle; Wayne W. Dyer; Louise L. Hay; Deepak Chopra;
		Don Miguel Ruiz; Brené Brown; Tony Robbins; John Gray; Leil Lowndes; Gretchen Rubin; Napoleon Hill; Robin S. Sharma; Rhonda Byrne`,
	catalogv1.Category_CATEGORY_FANTASY: `Terry Pratchett; Neil Gaiman; Jim Butcher; Brandon Sanderson; David Eddings; Terry Brooks; R.A. Salvatore; J.K. Rowling;
		George R.R. Martin; Robin Hobb; Raymond E. Feist; Robert Jordan; Anne McCaffrey; Terry Goodkind; Margaret Weis; Patricia Briggs; Ilona Andrews;
		Kelley Armstrong; Laurell K. Hamilton; Kim Harrison; Piers Anthony; Ursula K. Le Guin; Steven Erikson; J.R.R. Tolkien; Garth Nix; Brent Weeks;
		Joe Abercrombie; Jasper Fforde; Kevin Hearne; Tad Williams; Maria V. Snyder; Roger Zelazny; Gregory Maguire; Trudi Canavan; Andrzej Sapkowski;
		Stephen R. Donaldson; Anne Bishop; Mercedes Lackey; Robin McKinley; Guy Gavriel Kay; Patrick Rothfuss; Marion Zimmer Bradley; China Miéville;
		Peter V. Brett; Mark Lawrence; Scott Lynch; Naomi Novik; Susanna Clarke; David Gemmell; Jacqueline Carey; Karen Marie Moning; Charlaine Harris;
		Elizabeth Haydon; Michael J. Sullivan; Deborah Harkness; Seanan McGuire; Ben Aaronovitch; Richard Kadrey; Rachel Hartman`,
	catalogv1.Category_CATEGORY_HORROR: `Stephen King; Clive Barker; H.P. Lovecraft; Richard Bachman; Anne Rice; Peter Straub; Bram Stoker; Justin Cronin;
		Joe Hill; Richard Matheson; Ira Levin; Dean Koontz; Max Brooks; Scott Smith; R.L. Stine`,
	catalogv1.Category_CATEGORY_THRILLER: `James Patterson; John Grisham; David Baldacci; John Sandford; Harlan Coben; Lee Child; Douglas Preston;
		Mary Higgins Clark; Jeffrey Archer; Tom Clancy; Sidney Sheldon; Lisa Gardner; Michael Crichton; Daniel Silva; Karin Slaughter; Vince Flynn;
		Tess Gerritsen; Nelson DeMille; Brad Thor; Jeffery Deaver; Dennis Lehane; Robert Ludlum; John le Carré; Lisa Scottoline; Dan Brown;
		Frederick Forsyth; Greg Iles; Ken Follett; Scott Turow; Gillian Flynn; Stieg Larsson; Thomas Harris; Linwood Barclay; Joseph Finder;
		Matthew Reilly; Steve Berry; James Rollins; Ian Fleming; Stuart Woods; Jack Higgins; Robert Bryndza; Jeff Lindsay; Joy Fielding; Tom Rob Smith`,
	catalogv1.Category_CATEGORY_ROMANCE: `Nora Roberts; Kristen Ashley; Abbi Glines; Nicholas Sparks; J.R. Ward; Colleen Hoover; Jane Green; Kresley Cole;
		Sophie Kinsella; Sherrilyn Kenyon; Lisa Kleypas; Jennifer Weiner; Maeve Binchy; Gena Showalter; Nalini Singh; Jeaniene Frost; Marian Keyes;
		Julie Garwood; Sandra Brown; Jamie McGuire; Cecelia Ahern; Julia Quinn; Maya Banks; Susan Elizabeth Phillips; Lara Adrian; Christine Feehan;
		Mary Kay Andrews; Emily Giffin; Christina Lauren; Judith McNaught; Lynsay Sands; Debbie Macomber; Danielle Steel; Jojo Moyes; Sylvia Day;
		J. Lynn; Jessica Sorensen; Candace Bushnell; E.L. James; Simone Elkeles; Elin Hilderbrand; Kristen Proby; Kylie Scott; Mia Sheridan;
		Elisabeth Naughton; Brittainy C. Cherry; Anna Todd; Johanna Lindsey; Jude Deveraux; Linda Howard; Eloisa James; Tessa Dare; Samantha Young;
		Vi Keeland; Penelope Ward; Katy Evans; R.K. Lilley; Tiffany Reisz; Lauren Weisberger; Helen Fielding; Darynda Jones; Larissa Ione`,
	catalogv1.Category_CATEGORY_HISTORICAL_FICTION: `Bernard Cornwell; Philippa Gregory; Conn Iggulden; James A. Michener; Jean M. Auel; Tracy Chevalier;
		Geraldine Brooks; Sarah Waters; Edward Rutherfurd; Michelle Moran; Hilary Mantel; Kate Morton; Alison Weir; Sharon Kay Penman; Colleen McCullough;
		Mary Renault; Robert Graves; Jennifer Chiaverini; Susan Vreeland; Sarah Dunant; Leon Uris; Herman Wouk; Lisa See; Anita Diamant; Jeff Shaara`,
	catalogv1.Category_CATEGORY_ADVENTURE: `Clive Cussler; Jules Verne; Robert Louis Stevenson; Jack London; Alexandre Dumas; H. Rider Haggard;
		Patrick O'Brian; C.S. Forester; Wilbur Smith; Louis L'Amour; Edgar Rice Burroughs; Larry McMurtry; Zane Grey; Rafael Sabatini`,
	catalogv1.Category_CATEGORY_YOUNG_ADULT: `Meg Cabot; Tamora Pierce; Richelle Mead; L.J. Smith; Cassandra Clare; Jennifer L. Armentrout; P.C. Cast; Rachel Caine;
		Holly Black; Stephenie Meyer; Scott Westerfeld; Sarah J. Maas; Sara Shepard; Veronica Roth; Sarah Dessen; Kiera Cass; Margaret Peterson Haddix;
		Ally Carter; Suzanne Collins; Maggie Stiefvater; Julie Kagawa; Ellen Hopkins; Amanda Hocking; Lauren Oliver; Melissa de la Cruz; Ellen Schreiber;
		Ann Brashares; Gayle Forman; Laurie Halse Anderson; Marissa Meyer; Pittacus Lore; Alyson Noel; Jenny Han; Cinda Williams Chima; John Marsden;
		John Green; Lauren Kate; Marie Lu; Libba Bray; Michael Grant; Neal Shusterman; Louise Rennison; Rainbow Rowell; David Levithan; Jay Asher;
		James Dashner; Tahereh Mafi; Becca Fitzpatrick; Kami Garcia; Ally Condie; Alexandra Bracken; Rick Yancey; Victoria Aveyard; A.S. King;
		Elizabeth Scott; Jandy Nelson; Leigh Bardugo; Kristin Cashore; Rachel Hawkins; Christopher Paolini; Darren Shan; John Flanagan`,
	catalogv1.Category_CATEGORY_CHILDREN: `Rick Riordan; C.S. Lewis; Dr. Seuss; Roald Dahl; Lemony Snicket; Erin Hunter; Jeff Kinney; Brian Jacques; Eoin Colfer;
		L.M. Montgomery; Judy Blume; Beverly Cleary; Laura Ingalls Wilder; Brandon Mull; Enid Blyton; Shel Silverstein; Louisa May Alcott;
		Laura Joffe Numeroff; Michael Buckley; Jenny Nimmo; Wendy Mass; Lois Lowry; Louis Sachar; Madeleine L'Engle; Eric Carle; Cornelia Funke;
		A.A. Milne; Kate DiCamillo; Maurice Sendak; Beatrix Potter; Stan Berenstain; Margret Rey; H.A. Rey; Mo Willems; Kevin Henkes; Jan Brett;
		Dav Pilkey; Astrid Lindgren; E.B. White; Margaret Wise Brown; Bill Martin Jr.; Chris Van Allsburg; Tomie dePaola; Mercer Mayer; Robert Munsch;
		Julia Donaldson; Norman Bridwell; Leo Lionni; Ezra Jack Keats; Katherine Paterson; Gary Paulsen; Carolyn Keene; Ann M. Martin; Barbara Park;
		Mary Pope Osborne; Trenton Lee Stewart; D.J. MacHale; Anthony Horowitz; Richard Scarry; Virginia Lee Burton; Patricia Polacco; Jon Scieszka`,
	catalogv1.Category_CATEGORY_COMICS: `Brian K. Vaughan; Robert Kirkman; Bill Watterson; Frank Miller; Bill Willingham; Tsugumi Ohba; Garth Ennis; Alan Moore;
		Bryan Lee O'Malley; Natsuki Takaya; Warren Ellis; Bisco Hatori; Hiromu Arakawa; Masashi Kishimoto; Tite Kubo; Eiichirō Oda; Rumiko Takahashi;
		Jeph Loeb; Mark Millar; Grant Morrison; Geoff Johns; Scott Snyder; Matt Fraction; Brian Michael Bendis; Marjane Satrapi; Art Spiegelman;
		Raina Telgemeier; Jim Davis; Gary Larson; Hergé; René Goscinny; CLAMP; Naoko Takeuchi; Kentaro Miura; Hajime Isayama; Ai Yazawa; Matsuri Hino;
		Naoki Urasawa; Osamu Tezuka; Charles M. Schulz; Scott Adams; Craig Thompson; Alison Bechdel; Joe Sacco; Jeff Smith; G. Willow Wilson; Mike Mignola`,
	catalogv1.Category_CATEGORY_SHORT_STORIES: `Alice Munro; Raymond Carver; Flannery O'Connor; Jorge Luis Borges; O. Henry; George Saunders; Lydia Davis; Edgar Allan Poe; Anton Chekhov`,
	catalogv1.Category_CATEGORY_POETRY: `Emily Dickinson; Walt Whitman; Pablo Neruda; T.S. Eliot; Robert Frost; Rainer Maria Rilke; Mary Oliver; William Blake; John Keats;
		Charles Baudelaire; Jalaluddin Rumi; Rumi; E.E. Cummings; W.B. Yeats; Billy Collins; Rupi Kaur; Dante Alighieri; Arthur Rimbaud; Allen Ginsberg`,
	catalogv1.Category_CATEGORY_DRAMA: `William Shakespeare; Sophocles; Euripides; Aeschylus; Aristophanes; Tennessee Williams; Arthur Miller; Henrik Ibsen; Samuel Beckett;
		August Wilson; Tom Stoppard; Edward Albee; Eugene O'Neill; George Bernard Shaw; Molière; Christopher Marlowe; Tony Kushner; Harold Pinter`,
	catalogv1.Category_CATEGORY_ESSAYS: `Joan Didion; Susan Sontag; Ralph Waldo Emerson; Michel de Montaigne; Rebecca Solnit; Roxane Gay`,
	catalogv1.Category_CATEGORY_HUMOR: `David Sedaris; P.G. Wodehouse; Christopher Moore; Dave Barry; Chelsea Handler; Tucker Max; Jen Lancaster; Jenny Lawson;
		Erma Bombeck; Laurie Notaro; Jerome K. Jerome; Woody Allen; Al Franken; Tina Fey; Mindy Kaling; Jim Gaffigan; The Onion`,
	catalogv1.Category_CATEGORY_BIOGRAPHY: `Walter Isaacson; Ron Chernow; Frank McCourt; Jeannette Walls; Augusten Burroughs; Maya Angelou; Mary Karr; Anne Frank; Alexandra Fuller`,
	catalogv1.Category_CATEGORY_HISTORY: `David McCullough; Stephen E. Ambrose; Barbara W. Tuchman; Doris Kearns Goodwin; Howard Zinn; Antony Beevor; Erik Larson;
		Nathaniel Philbrick; Simon Winchester; Joseph J. Ellis; Cornelius Ryan; Tom Holland; Shelby Foote; Rick Atkinson; James D. Bradley; Jared Diamond;
		Laura Hillenbrand; Candice Millard; Hampton Sides; Bill O'Reilly; William L. Shirer; Niall Ferguson; Simon Schama; Eric Schlosser`,
	catalogv1.Category_CATEGORY_POLITICS: `Noam Chomsky; Ann Coulter; Glenn Beck; Michael Moore; Naomi Klein; Fareed Zakaria; Thomas L. Friedman; Bob Woodward; Karl Marx;
		Hannah Arendt; Thomas Paine; Ta-Nehisi Coates; Barack Obama; Hillary Rodham Clinton; Henry Kissinger; Rachel Maddow; Matt Taibbi; Frantz Fanon`,
	catalogv1.Category_CATEGORY_BUSINESS: `Malcolm Gladwell; Michael Lewis; Seth Godin; Robert T. Kiyosaki; Patrick Lencioni; John C. Maxwell; Jim Collins; James C. Collins;
		Steven D. Levitt; Peter F. Drucker; Dave Ramsey; Chip Heath; Daniel H. Pink; Timothy Ferriss; Spencer Johnson; Ken Blanchard; Kenneth H. Blanchard;
		Marcus Buckingham; Clayton M. Christensen; Warren Buffett; Benjamin Graham; Nassim Nicholas Taleb; Ben Horowitz; Peter Thiel; Donald J. Trump`,
	catalogv1.Category_CATEGORY_PSYCHOLOGY: `Oliver Sacks; Sigmund Freud; C.G. Jung; Carl Gustav Jung; Daniel Kahneman; Dan Ariely; Viktor E. Frankl; Daniel Goleman;
		Robert B. Cialdini; Jonathan Haidt; Irvin D. Yalom; Erich Fromm; Daniel Gilbert; Martin E.P. Seligman; Paul Ekman; Elaine N. Aron`,
	catalogv1.Category_CATEGORY_RELIGION: `Max Lucado; Tim LaHaye; Francine Rivers; John Piper; Philip Yancey; Rick Warren; Timothy Keller; Lee Strobel; Joel Osteen; Joyce Meyer;
		Beth Moore; Dalai Lama XIV; Thich Nhat Hanh; Pema Chödrön; Thomas Merton; Dietrich Bonhoeffer; Karen Armstrong; Donald Miller; Rob Bell;
		John Eldredge; Francis Chan; Gary Chapman; Billy Graham; Alan W. Watts; David Platt; Brennan Manning; A.W. Tozer; Stormie Omartian; Bart D. Ehrman;
		Watchman Nee; Andrew Murray; Charles R. Swindoll; John Bevere; Henri J.M. Nouwen; R.C. Sproul; Augustine of Hippo`,
	catalogv1.Category_CATEGORY_PHILOSOPHY: `Plato; Aristotle; Friedrich Nietzsche; Marcus Aurelius; Immanuel Kant; René Descartes; David Hume; Søren Kierkegaard; Bertrand Russell;
		Michel Foucault; Seneca; John Stuart Mill; John Locke; Jean-Jacques Rousseau; Alain de Botton; Martin Heidegger; Arthur Schopenhauer;
		Ludwig Wittgenstein; Baruch Spinoza; Slavoj Žižek; Simone de Beauvoir; Lao Tzu; Confucius; Epictetus; Thomas Hobbes`,
	catalogv1.Category_CATEGORY_SCIENCE: `Richard Dawkins; Carl Sagan; Stephen Hawking; Brian Greene; Mary Roach; Charles Darwin; Richard P. Feynman; Neil deGrasse Tyson;
		Michio Kaku; Stephen Jay Gould; Steven Pinker; Matt Ridley; James Gleick; Simon Singh; Sam Kean; Siddhartha Mukherjee; Atul Gawande; Edward O. Wilson;
		Neil Shubin; Dava Sobel; Richard Preston; Stephen W. Hawking; Lisa Randall; Daniel C. Dennett; Lawrence M. Krauss`,
	catalogv1.Category_CATEGORY_ART:        `E.H. Gombrich; Betty Edwards; John Berger; Austin Kleon; Edward R. Tufte; Ansel Adams; Robert McKee; Andy Warhol`,
	catalogv1.Category_CATEGORY_MUSIC:      `Chuck Klosterman; Patti Smith; Keith Richards; Bob Dylan; Daniel J. Levitin; Anthony Kiedis; Alex Ross`,
	catalogv1.Category_CATEGORY_TRAVEL:     `Bill Bryson; Paul Theroux; Peter Mayle; Frances Mayes; Bruce Chatwin; J. Maarten Troost; Rick Steves; Colin Thubron; Pico Iyer`,
	catalogv1.Category_CATEGORY_NATURE:     `James Herriot; Gerald Durrell; Farley Mowat; Annie Dillard; Rachel Carson; Aldo Leopold; John Muir; Edward Abbey; Jane Goodall; Cesar Millan`,
	catalogv1.Category_CATEGORY_COOKING:    `Michael Pollan; Anthony Bourdain; Julia Child; Ina Garten; Ruth Reichl; Mark Bittman; Ree Drummond; Rachael Ray; Jamie Oliver; Alice Waters; Giada De Laurentiis; Nigella Lawson; Mollie Katzen; Yotam Ottolenghi`,
	catalogv1.Category_CATEGORY_TECHNOLOGY: `Robert C. Martin; Martin Fowler; Ray Kurzweil; Steve Krug; Donald Ervin Knuth; Tracy Kidder; Donald A. Norman; Kevin Mitnick; Kevin D. Mitnick`,
}

// shelfOf is the category of each of those authors, by folded name.
var shelfOf = func() map[string]catalogv1.Category {
	all := map[string]catalogv1.Category{}
	for c, names := range shelfAuthors {
		for n := range strings.SplitSeq(names, ";") {
			all[fold(n)] = c
		}
	}
	return all
}()
