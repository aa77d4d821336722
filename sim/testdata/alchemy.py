# SQLAlchemy's everyday work: tables of all types, the ORM with relations, transactions with retries, many rows, reflection, a lost connection.
import datetime, decimal, os, socket, threading, uuid
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import declarative_base, relationship, Session, selectinload

url = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg2://", 1)
engine = sa.create_engine(url, future=True, pool_pre_ping=True)
Base = declarative_base()


class Author(Base):
    __tablename__ = "author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(40), nullable=False, unique=True)
    note = sa.Column(sa.Text)
    books = relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (sa.CheckConstraint("pages > 0", name="some_pages"), sa.Index("book_title", "title"), sa.UniqueConstraint("author_id", "title", name="one_title"))
    id = sa.Column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    author_id = sa.Column(sa.ForeignKey("author.id", ondelete="CASCADE"), nullable=False)
    title = sa.Column(sa.Text, nullable=False)
    pages = sa.Column(sa.SmallInteger, server_default="1")
    price = sa.Column(sa.Numeric(8, 2))
    weight = sa.Column(sa.Float(53))
    size = sa.Column(sa.REAL)
    key = sa.Column(pg.UUID(as_uuid=True), server_default=sa.func.gen_random_uuid())
    printed = sa.Column(sa.Date)
    at = sa.Column(sa.DateTime(timezone=True), server_default=sa.func.now())
    local = sa.Column(sa.DateTime)
    clock = sa.Column(sa.Time)
    lent = sa.Column(sa.Interval)
    sold = sa.Column(sa.Boolean, server_default=sa.false())
    cover = sa.Column(sa.LargeBinary)
    more = sa.Column(pg.JSONB)
    plain = sa.Column(sa.JSON)
    tags = sa.Column(pg.ARRAY(sa.Text))
    sizes = sa.Column(pg.ARRAY(sa.Integer))
    code = sa.Column(sa.CHAR(3))
    author = relationship("Author", back_populates="books")


Base.metadata.create_all(engine)
Base.metadata.create_all(engine)  # finds them
values = dict(title="Zeile\n☃ '\\", pages=300, price=decimal.Decimal("12.50"), weight=0.1, size=1.5, key=uuid.UUID(int=7), printed=datetime.date(2026, 2, 3),
              at=datetime.datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=datetime.timezone.utc), local=datetime.datetime(2026, 2, 3, 4, 5, 6), clock=datetime.time(4, 5, 6),
              lent=datetime.timedelta(days=2, seconds=3), sold=True, cover=b"\x00\xff", more={"k": [1, None]}, plain=[1, "x"], tags=["a", 'b"c'], sizes=[1, None], code="abc")
with Session(engine) as s:
    s.add(Author(name="Anna", books=[Book(**values), Book(title="Second")]))
    s.commit()
with Session(engine) as s:
    book = s.execute(sa.select(Book).where(Book.more["k"][0].as_integer() == 1, Book.tags.any("a"))).scalar_one()
    got = {k: getattr(book, k) for k in values}
    assert got == values, got
    anna = s.execute(sa.select(Author).options(selectinload(Author.books)).where(Author.name.ilike("an%"))).scalar_one()
    assert {b.title: b.sold for b in anna.books} == {values["title"]: True, "Second": False}
    n, total = s.execute(sa.select(sa.func.count(), sa.func.sum(Book.price)).join(Author).group_by(Author.id).having(sa.func.count() > 1)).one()
    assert (n, total) == (2, decimal.Decimal("12.50"))
    ranked = s.execute(sa.select(Book.title, sa.func.row_number().over(order_by=Book.title.desc())).order_by(Book.title).limit(1)).one()
    assert ranked == ("Second", 2), ranked
    anna.books.remove(book)
    s.rollback()
    insert = pg.insert(Author).values([{"name": "Anna"}, {"name": "Bert"}]).on_conflict_do_update(index_elements=["name"], set_={"note": sa.text("excluded.name || '!'")}).returning(Author.note)
    assert set(s.execute(insert).scalars()) == {"Anna!", None}
    s.commit()
for wrong, kind in [(dict(author_id=99, title="x"), "foreign key"), (dict(author_id=1, title="Second"), "unique"), (dict(author_id=1, title="y", pages=0), "some_pages"), (dict(author_id=1), "null value")]:
    try:
        with Session(engine) as s:
            s.add(Book(**wrong))
            s.commit()
        assert False, wrong
    except sa.exc.IntegrityError as e:
        assert kind in str(e), e

retries = []


def count():
    for _ in range(4):
        while True:
            try:
                with Session(engine) as s:
                    b = s.execute(sa.select(Book).where(Book.title == "Second").with_for_update()).scalar_one()
                    b.pages += 1
                    s.commit()
                break
            except sa.exc.OperationalError as e:
                assert e.orig.pgcode == "40001", e
                retries.append(1)


both = [threading.Thread(target=count) for _ in range(2)]
[t.start() for t in both]
[t.join() for t in both]
with engine.begin() as c:
    assert c.execute(sa.select(Book.pages).where(Book.title == "Second")).scalar_one() == 9
    c.execute(sa.insert(Author.__table__), [{"name": "many %d" % i} for i in range(2000)])
    nested = c.begin_nested()
    c.execute(sa.delete(Author.__table__).where(Author.name.like("many%")))
    nested.rollback()
with engine.connect() as c:
    streamed = c.execution_options(stream_results=True, yield_per=300).execute(sa.select(Author.id))
    assert len(streamed.all()) == 2002

inspector = sa.inspect(engine)
assert set(inspector.get_table_names()) >= {"author", "book"}
assert inspector.get_pk_constraint("book")["constrained_columns"] == ["id"]
assert inspector.get_foreign_keys("book")[0]["referred_table"] == "author" and inspector.get_foreign_keys("book")[0]["options"] == {"ondelete": "CASCADE"}
assert [c["name"] for c in inspector.get_check_constraints("book")] == ["some_pages"]
assert {i["name"] for i in inspector.get_indexes("book")} == {"book_title", "one_title"}, inspector.get_indexes("book")
assert inspector.get_unique_constraints("author")[0]["column_names"] == ["name"]
reflected = sa.MetaData()
reflected.reflect(engine)
for name, c in Base.metadata.tables["book"].c.items():
    there = reflected.tables["book"].c[name]
    told = (there.nullable, there.type.compile(engine.dialect))
    assert told == (c.nullable, {"weight": "DOUBLE PRECISION"}.get(name, c.type.compile(engine.dialect))), (name, told)
reflected.drop_all(engine)
assert not sa.inspect(engine).get_table_names()
reflected.create_all(engine)  # as it was reflected
with engine.connect() as c:
    socket.socket(fileno=os.dup(c.connection.dbapi_connection.fileno())).shutdown(socket.SHUT_RDWR)
with engine.connect() as c:  # a lost connection is replaced
    assert c.execute(sa.text("SELECT count(*) FROM book")).scalar_one() == 0
print("retried", len(retries))
